"""The receipts of a record as the report shows them: those that do not hold first, equal ones together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from harness.spec.receipt import Stage, StageReceipt
from harness.spec.result import CellResult, RunRecord

_STAGES = get_args(Stage)


@dataclass(frozen=True)
class ReceiptRow:
    """What the same step said in the same words of one or several cells."""

    receipt: StageReceipt
    cells: tuple[str, ...]


def receipt_rows(record: RunRecord) -> list[ReceiptRow]:
    """By what was said, whatever the evidence: first what does not hold, then in the order of the path."""
    cells: dict[tuple[bool, int, str, str, str], list[str]] = {}
    first: dict[tuple[bool, int, str, str, str], StageReceipt] = {}
    for cell in record.cells:
        for receipt in cell.receipts:
            key = (receipt.holds, _STAGES.index(receipt.stage), receipt.name, receipt.expected, receipt.seen)
            first.setdefault(key, receipt)
            cells.setdefault(key, []).append(cell.id)
    return [ReceiptRow(first[key], tuple(cells[key])) for key in sorted(first)]


def broken_receipts(cell: CellResult) -> list[StageReceipt]:
    """Those of a cell that do not hold."""
    return [receipt for receipt in cell.receipts if not receipt.holds]
