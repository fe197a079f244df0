"""What is in force while a cell is evaluated: its edit, its fine-tuning, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.evaluations.base import Training
from harness.models.editing import EditInProgress, WeightsNotRestored, region_removed
from harness.receipts.before import Before
from harness.receipts.found import Found
from harness.runs.bench import Bench, Step
from harness.runs.fine_tuned import FineTuned, fine_tuned
from harness.spec.receipt import EditReceipt, FineTuningReceipt, StageReceipt


@dataclass(frozen=True)
class Change:
    """What is in force: an edit, whose receipt is there when it has been undone, or a fine-tuning, or neither."""

    edit: EditInProgress | None
    tuned: FineTuned | None

    @property
    def edit_receipt(self) -> EditReceipt | None:
        """What was removed and put back."""
        return None if self.edit is None else self.edit.receipt

    @property
    def training(self) -> Training | None:
        """What evaluations may look at."""
        return None if self.tuned is None else self.tuned.training

    @property
    def tuning_receipt(self) -> FineTuningReceipt | None:
        """With which settings was trained, and what it cost."""
        return None if self.tuned is None else self.tuned.receipt

    @property
    def tuning_receipts(self) -> tuple[StageReceipt, ...]:
        """What was checked of the fine-tuning itself."""
        return () if self.tuned is None else self.tuned.receipts


@contextmanager
def in_force(bench: Bench, before: Before, found: Found, checkpoints: Path, step: Step) -> Iterator[Change]:
    """The cell's edit or fine-tuning, for the length of the context; of a cell with neither nothing is changed.

    before: what was seen of the intact model, and what it is to be trained on. found: the region that is removed, and
    what was checked of it. checkpoints: the folder for those of the fine-tuning. An edit that cannot be undone ends no
    run: the receipt `weights/left-as-found` says what is left of it. Raises UserError as what happens within does; it
    then also names receipts that do not hold.
    """
    bench.engine.rest()
    removed: AbstractContextManager[EditInProgress | None] = nullcontext()
    if found.region is not None:
        removed = region_removed(bench.loaded.model, found.region, bench.finder.planted)
    tuning: AbstractContextManager[FineTuned | None] = nullcontext()
    declared = before.subject.cell.fine_tuning
    if declared is not None:
        tuning = fine_tuned(bench.bound, bench.loaded, bench.finder, declared, before.training, checkpoints, step)
    with suppress(WeightsNotRestored), _explained_by(found.receipts), tuning as tuned, removed as edit:
        yield Change(edit, tuned)


@contextmanager
def _explained_by(receipts: Sequence[StageReceipt]) -> Iterator[None]:
    """A UserError within it also says which receipts do not hold: they are the likely cause."""
    try:
        yield
    except UserError as error:
        broken = [receipt.words for receipt in receipts if not receipt.holds]
        if not broken:
            raise
        raise UserError("\n".join([str(error), *broken])) from None
