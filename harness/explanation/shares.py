"""Steps against shares: what was checked for a cell by other means, how much of it, and what nobody checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from harness.spec.receipt import Stage, StageReceipt
from harness.spec.result import CellResult


@dataclass(frozen=True)
class CheckedStep:
    """The receipts of one step. parts: by the name of a check, which share it looked at; the others say none."""

    step: str
    checks: int
    held: int
    parts: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """`3 of 3 checks hold; plain-definition looked at 2 of 4 blocks`."""
        looked = [f"{name} at {share}" for name, share in self.parts]
        return f"{self.held} of {self.checks} checks hold" + (f"; looked at: {', '.join(looked)}" if looked else "")


def checked_steps(cell: CellResult) -> tuple[CheckedStep, ...]:
    """Every step that has receipts, in the order of the path from data to a figure."""
    by_step = {stage: [each for each in cell.receipts if each.stage == stage] for stage in get_args(Stage)}
    return tuple(_of_step(stage, receipts) for stage, receipts in by_step.items() if receipts)


def _of_step(stage: str, receipts: Sequence[StageReceipt]) -> CheckedStep:
    parts = [
        (receipt.name, " and ".join(f"{share.seen} of {share.of} {share.what}" for share in receipt.looked_at))
        for receipt in receipts
        if receipt.looked_at
    ]
    return CheckedStep(stage, len(receipts), sum(receipt.holds for receipt in receipts), tuple(parts))
