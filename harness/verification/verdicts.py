"""The verdict that a record's cells, comparisons and canaries come to, made anew."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult, RunRecord

#: What the reasons of a verdict begin with that a second reading gives.
SECOND_READING = "verification: "
#: The worst first: the verdict, its exit code, and the comparisons that lead to it.
_RANKS = (
    ("invalid", 3, ()),
    ("unfit", 3, ()),
    ("failed", 1, ("failed", "missing_measurement")),
    ("missing_golden", 4, ("missing_golden",)),
    ("drift", 6, ("drift",)),
)


def verdict_of(record: RunRecord, unfit: str | None) -> tuple[str, int, list[str]]:
    """(status, exit code, reasons), from the record's own cells, comparisons and canaries. unfit: why the model is."""
    reasons: dict[str, list[str]] = {status: [] for status, _, _ in _RANKS} | {"invalid": list(_invalid(record))}
    reasons["unfit"] += [] if unfit is None else [unfit]
    excused = {
        (cell.id, measured.metric)
        for cell in record.cells
        for measured in cell.measurements
        if cell.invalid_is_expected is None and not measured.valid
    }
    for check in record.checks:
        for status, _, leading in _RANKS:
            if check.status in leading and not (status == "failed" and (check.cell, check.metric) in excused):
                reasons[status].append(f"{check.cell}: {check.message}")
    told = [line for status, _, _ in _RANKS for line in reasons[status]]
    for status, code, _ in _RANKS:
        if reasons[status]:
            return status, code, told
    return "passed", 0, told


def _invalid(record: RunRecord) -> Iterator[str]:
    """Why figures mean nothing: canaries and receipts that do not hold, unfit figures, and those that are no number."""
    yield from (f"canary: {sentence(canary)}" for canary in record.canaries if not canary.holds)
    for cell in record.cells:
        yield from (f"{cell.id}: {sentence(receipt)}" for receipt in cell.receipts if not receipt.holds)
    for cell in record.cells:
        if cell.invalid_is_expected is None:
            yield from _unfit(cell)
    failed = {(check.cell, check.metric) for check in record.checks if check.status == "failed"}
    for cell in record.cells:
        for measured in cell.measurements:
            number = measured.value is not None and math.isfinite(measured.value)
            if measured.valid and not number and (cell.id, measured.metric) not in failed:
                yield f"{cell.id}: {measured.metric} has no value that is a number, and nothing says why"


def _unfit(cell: CellResult) -> Iterator[str]:
    """One line for each reason, with the figures that it takes along."""
    names = {sentence(r): f", by the receipt {r.stage}/{r.name}" for r in cell.receipts if not r.holds}
    reasons = [measured.reason or "" for measured in cell.measurements if not measured.valid]
    for reason in dict.fromkeys(reasons):
        metrics = [m.metric for m in cell.measurements if not m.valid and (m.reason or "") == reason]
        some = f"{len(metrics)} figures, first {metrics[0]}, are" if len(metrics) > 1 else f"{metrics[0]} is"
        yield f"{cell.id}: {some} invalid{names.get(reason, f': {reason}')}"


def sentence(receipt: StageReceipt) -> str:
    """What a receipt says where it does not hold."""
    return f"{receipt.stage}/{receipt.name}: expected {receipt.expected}, saw {receipt.seen}; {receipt.advice}"
