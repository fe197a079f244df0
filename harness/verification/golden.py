"""Comparisons with golden values and expected outcomes of claims, made anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.spec.benchmark import BenchmarkSpec
from harness.spec.claim import Claim, Reference
from harness.spec.golden import GoldenFile, GoldenValue, Tolerance
from harness.spec.manifest import GOLDEN
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult, RunRecord
from harness.verification.findings import Ledger
from harness.verification.fitness import unfit_model
from harness.verification.points import declared_cells

#: What the fields of a comparison are called in a record.
FIELDS = ("measured", "golden", "difference", "tolerance", "basis", "source", "status", "message")
#: By which decimal numbers in files may miss each other in binary, of the larger one.
_BINARY = 1e-12
Row = dict[str, Any]


@dataclass(frozen=True)
class _Basis:
    """What comparisons are made from."""

    record: RunRecord
    spec: BenchmarkSpec
    golden: GoldenFile | None


def comparisons(record: RunRecord, spec: BenchmarkSpec, golden: GoldenFile | None) -> Iterator[tuple[str, str, Row]]:
    """(cell, metric, fields) of every comparison that there has to be."""
    basis = _Basis(record, spec, golden)
    values = golden.values if golden else ()
    for value in values:
        yield value.cell, value.metric, _row(basis, value)
    if spec.golden_values == "required":
        known = {(value.cell, value.metric) for value in values}
        for cell in record.cells:
            for measured in cell.measurements:
                if (cell.id, measured.metric) not in known:
                    message = f"{measured.metric} has no golden value"
                    yield cell.id, measured.metric, _plain("missing_golden", message, measured.value)
    if unfit_model(record, spec) is None:
        yield from _claims(basis)


def check_installed(golden: GoldenFile | None, installed: GoldenFile | None, bound: bool, ledger: Ledger) -> None:
    """Golden values that a run had from the same source as those that are installed have to be the same.

    Installed ones of another source were accepted since, or are another's, and say nothing of the run's own.
    bound: whether the run's own are those that were written with it.
    """
    note = _which_was_edited(golden, bound) if golden else ""
    known = {(value.cell, value.metric): value for value in installed.values} if installed else {}
    for value in golden.values if golden else ():
        other = known.get((value.cell, value.metric))
        if other is not None and other.source == value.source:
            for field, own, theirs in (
                ("value", value.value, other.value),
                ("tolerance", value.tolerance.width, other.tolerance.width),
                ("basis", value.tolerance.basis, other.tolerance.basis),
                ("regression", _held_to(value).width, _held_to(other).width),
                ("valid", value.valid, other.valid),
                ("not_compared", value.not_compared, other.not_compared),
            ):
                ledger.same("golden", value.cell, f"{field} of {value.metric}", own, theirs, note)
    if golden and installed and golden.source == installed.source:
        for name in sorted({*golden.claims, *installed.claims}):
            mine, theirs = golden.claims.get(name), installed.claims.get(name)
            ledger.same("golden", "claims", name, mine, theirs, note)


def _which_was_edited(golden: GoldenFile, bound: bool) -> str:
    """Of the run's golden values and those of the same source that are installed, in words."""
    installed = f"golden/{golden.variant}/{golden.benchmark}.yaml"
    if not bound:
        return f"{GOLDEN} is not the one that was written with the run: the record was changed, not {installed}"
    return (
        f"{GOLDEN} is the one that was written with the run: {installed} has another under the same source; it was "
        "edited since, and `harness accept` gives it a source of its own, or the run was bound together again"
    )


def _row(basis: _Basis, value: GoldenValue) -> Row:
    cell = basis.record.cell(value.cell)
    measured = cell.measurement(value.metric) if cell is not None else None
    if cell is None or measured is None:
        skipped = basis.record.skipped_cells.get(value.cell)
        why = "" if skipped is None else f"; the cell was skipped: {skipped}"
        return _against(
            value, None, "missing_measurement", f"{value.metric} has a golden value but was not measured{why}"
        )
    changed = tasks_changed(basis.spec, cell, basis.golden).get(value.metric)
    if changed is not None and value.source.publication is None:
        return _against(value, measured, "drift", f"{value.metric} is compared with nothing: {changed}")
    status, message = _compared(value, measured)
    return _against(value, measured, status, message)


def _held_to(value: GoldenValue) -> Tolerance:
    """A run repeats our own figures, and replicates those of a publication."""
    repeats = value.source.publication is None and value.regression is not None
    return value.regression if repeats and value.regression else value.tolerance


def _compared(value: GoldenValue, measured: Measurement) -> tuple[str, str]:
    name = value.metric
    if value.valid and not measured.valid:
        return "failed", f"{name} was valid and is invalid now" + (f": {measured.reason}" if measured.reason else "")
    if measured.valid and not value.valid:
        return "failed", f"{name} was invalid and is valid now" + (f": {measured.reason}" if measured.reason else "")
    if not measured.valid:
        return "skipped_invalid", f"{name} is invalid, as expected; its value is compared with nothing"
    if value.not_compared is not None:
        return "not_compared", f"{name} is compared with nothing, as the golden file says: {value.not_compared}"
    number, width = measured.value, _held_to(value).width
    near = number is not None and math.isfinite(number)
    if number is not None and near:
        near = abs(number - value.value) - width <= _BINARY * max(abs(number), abs(value.value))
    shown = "no number" if number is None else f"{number:.6g}"
    basis = _held_to(value).basis.replace("_", " ")
    return "passed" if near else "failed", f"{name} is {shown}, expected {value.value:.6g} ± {width:.3g} ({basis})"


def _against(value: GoldenValue, measured: Measurement | None, status: str, message: str) -> Row:
    number, source = None if measured is None else measured.value, value.source
    words = source.publication
    if words is None:
        words = f"run {source.record or 'unknown'}" + (f" ({source.reason})" if source.reason else "")
    return {
        "measured": number,
        "golden": value.value,
        "difference": None if number is None else number - value.value,
        "tolerance": _held_to(value).width,
        "basis": _held_to(value).basis,
        "source": words,
        "status": status,
        "message": message,
    }


def _plain(status: str, message: str, measured: float | None = None) -> Row:
    return {**dict.fromkeys(FIELDS), "measured": measured, "status": status, "message": message}


def tasks_changed(spec: BenchmarkSpec, cell: CellResult, golden: GoldenFile | None) -> dict[str, str]:
    """Figures of a cell that rest on zero-shot tasks which are others than those of the golden values: why."""
    found: dict[str, str] = {}
    for entry in spec.evaluations:
        if not entry.asks_tasks or golden is None:
            continue
        told: dict[str, str] = {}
        for task in golden.tasks.keys() & cell.task_hashes.keys():
            measured = cell.measurement(f"{entry.name}_{task}")
            words = _change(golden.tasks[task], cell.task_hashes[task], measured.n) if measured and measured.n else None
            if words is not None:
                told[task] = f"the task {task} is of {words}"
        found |= {f"{entry.name}_{task}": words for task, words in told.items()}
        if told:
            found |= {f"{entry.name}_{over}": "; ".join(told.values()) for over in ("mean", "chance")}
    return found


def _change(known: Any, recorded: str, items: int) -> str | None:
    """recorded: `version 1.0, <hash>`. Of another number of items, another hash says nothing."""
    version, _, sha256 = recorded.removeprefix("version ").partition(", ")
    if version != known.version:
        return f"version {version}, where the golden values were measured with version {known.version}"
    if items == known.items and sha256 != known.sha256:
        return f"other documents, prompts or targets (SHA-256 {sha256[:12]}, then {known.sha256[:12]})"
    return None


def _claims(basis: _Basis) -> Iterator[tuple[str, str, Row]]:
    """Outcomes against what spec and golden file expect. Those of the record are taken: they are compared elsewhere."""
    record, expected = basis.record, dict(basis.golden.claims) if basis.golden else {}
    by_id = {claim.id: claim for claim in basis.spec.claims}
    moved = {metric for cell in record.cells for metric in tasks_changed(basis.spec, cell, basis.golden)}
    for told in record.claims:
        claim = by_id.get(told.id)
        if claim is None:
            continue
        want = claim.expect or expected.get(claim.id)
        if claim.expect and told.status == "not_evaluated" and not _measured(claim, basis.spec, record.skipped_cells):
            continue
        if want is None:
            if basis.spec.golden_values == "required":
                message = f"the claim is {told.status}; no outcome is expected of it in the golden file"
                yield "claims", claim.id, _plain("missing_golden", message)
            continue
        drifted = claim.expect is None and bool(moved & set(_metrics(claim)))
        status = "passed" if told.status == want else "drift" if drifted else "failed"
        yield "claims", claim.id, _plain(status, f"the claim is {told.status}, expected {want}: {told.evidence}")
    for name in sorted(expected.keys() - by_id.keys()):
        words = f"is expected to be {expected[name]} in the golden file, but the spec has no such claim"
        yield "claims", name, _plain("failed", f"the claim {name!r} {words}")


def _measured(claim: Claim, spec: BenchmarkSpec, skipped: Mapping[str, str]) -> bool:
    """Whether this variant has any cell that the claim speaks of."""
    spoken_of = [name for name, group, _ in declared_cells(spec) if name in claim.cells or group.id in claim.cells]
    return any(name not in skipped for name in spoken_of)


def _metrics(claim: Claim) -> Iterator[str]:
    for condition in claim.conditions:
        yield condition.metric
        for bound in (condition.at_least, condition.at_most):
            if isinstance(bound, Reference) and bound.metric is not None:
                yield bound.metric
