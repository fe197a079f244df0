"""Measuring one cell: from its region to judged outputs, on a model that is intact before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.evaluations.base import EvaluationContext, Training, evaluation, unchecked_figures
from harness.models.editing import EditInProgress, FoundRegion, WeightsNotRestored, region_removed
from harness.receipts.asked import prompt_receipts
from harness.receipts.before import Before
from harness.receipts.changed import Changed
from harness.receipts.evaluated import Evaluated
from harness.receipts.found import Found, Sources
from harness.receipts.judged import Judged
from harness.receipts.observed_engine import ObservedEngine
from harness.receipts.state import ModelState, left_as_found
from harness.receipts.subject import Seen, Subject
from harness.regions.base import Witness
from harness.runs.bench import Bench, Learned, Step
from harness.runs.fine_tuned import FineTuned, fine_tuned
from harness.runs.judges import JudgedTexts, figures_by_judge, judged_texts
from harness.runs.judging import judged, know_intact_answers, unfit_of
from harness.runs.keys import asked_digest
from harness.spec.cell import Cell
from harness.spec.measurement import Completion, Measurement, RawValues
from harness.spec.receipt import EditReceipt, StageReceipt
from harness.spec.result import CellResult
from harness.validity.classification import Thresholds, class_counts, partings
from harness.verification.raw import partly_unread


@dataclass(frozen=True)
class MeasuredCell:
    """A cell's completions with their classes, and its result but for the hash of the file that holds them.

    raw: what its other figures are computed from. intact: whether the model is as it was before.
    """

    result: CellResult
    completions: list[Completion]
    raw: list[RawValues]
    intact: bool


@dataclass(frozen=True)
class CellJob:
    """A cell to measure. checkpoints: the folder for those of its fine-tuning. step: told what is being done."""

    cell: Cell
    thresholds: Thresholds | None
    checkpoints: Path
    step: Step

    def say(self, words: str) -> None:
        """What is being done now."""
        self.step(f"{self.cell.id}: {words}")


@dataclass(frozen=True)
class _Change:
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
    def tuning_receipts(self) -> tuple[StageReceipt, ...]:
        """Those of the fine-tuning itself."""
        return () if self.tuned is None else self.tuned.receipts


@dataclass
class _Raw:
    """What the engine and the model gave, nothing judged."""

    seen: list[Seen] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    values: list[RawValues] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    task_hashes: dict[str, str] = field(default_factory=dict)


def measure_cell(bench: Bench, learned: Learned, job: CellJob) -> MeasuredCell:
    """Find the region, edit or fine-tune, evaluate, undo, and judge the outputs with the intact model.

    After each stage its observer looks on; each takes what the one before it saw.
    """
    began = time.monotonic()
    found = _found(bench, job)
    prepared = _prepared(bench, job)
    know_intact_answers(bench, learned, job.cell, job.thresholds)
    before = _seen_before(bench, learned, job.cell, found.region)
    with _told_afterwards(), _explained_by(found.receipts), _changed(bench, job, found.region) as change:
        changed = Changed.seen(before, change.tuned)
        raw = _evaluate(bench, job, replace(bench.context, training=change.training, prepared=prepared))
        evaluated = Evaluated.seen(changed, raw.seen, raw.completions, learned.states)
    learned.states.setdefault(changed.edited, f"those of the cell {job.cell.id}")
    job.say("judging the outputs")
    texts = judged(bench, raw.completions, job.thresholds)
    by_judges = judged_texts(bench, learned, job.cell, texts, job.thresholds)
    figures = [*raw.measurements, *_figures_of_texts(bench, texts), *figures_by_judge(bench, job.cell, by_judges)]
    figures += _figures_of_edit(change.edit_receipt)
    judgement = Judged.seen(before.subject, texts, figures, learned.intact_answers)
    left = left_as_found(before.state, ModelState.of(bench.loaded.model))
    receipts = [
        *found.receipts,
        *prompt_receipts(before.subject, raw.seen),
        *(receipt for stage in (before, changed, evaluated, judgement) for receipt in stage.receipts),
        *by_judges.receipts,
        *change.tuning_receipts,
        left,
    ]
    result = CellResult(
        **_what_was_asked(bench, job.cell),
        receipt=change.edit_receipt,
        fine_tuning=change.tuned.receipt if change.tuned else None,
        measurements=_invalidated(figures, receipts),
        completion_classes=class_counts(texts),
        partings=partings(texts, _attacks(bench, job.cell)),
        seconds=round(time.monotonic() - began, 3),
        asked_sha256=asked_digest(bench.bound.spec, job.cell),
        completions_sha256="",
        task_hashes=raw.task_hashes,
        receipts=tuple(receipts),
        unchecked=_unchecked(bench, job.cell, found, by_judges),
        judges=by_judges.judges,
    )
    return MeasuredCell(result, by_judges.completions, raw.values, left.holds)


def _attacks(bench: Bench, cell: Cell) -> set[str]:
    """Evaluations of a cell whose texts the published scorer judges."""
    return {entry.name for entry in bench.bound.spec.evaluations_of(cell) if entry.success_metric}


def _unchecked(bench: Bench, cell: Cell, found: Found, by_judges: JudgedTexts) -> tuple[str, ...]:
    """In words, what nobody makes a second time: of the region, of the figures, of what judges say."""
    entries = bench.bound.spec.evaluations_of(cell)
    unread = filter(None, map(partly_unread, entries))
    return (*found.unchecked, *unchecked_figures(entries), *unread, *by_judges.unchecked)


def _what_was_asked(bench: Bench, cell: Cell) -> dict[str, Any]:
    group = next(group for group in bench.bound.spec.cells if group.id == cell.group)
    return {
        "id": cell.id,
        "group": cell.group,
        "title": group.title,
        "parameters": cell.parameters,
        "invalid_is_expected": cell.invalid_is_expected,
    }


def _found(bench: Bench, job: CellJob) -> Found:
    """What the cell removes. What it was found from is let go: scores take as much memory as the model."""
    bench.engine.rest()
    region, witness = None, Witness()
    if job.cell.region is not None:
        job.say("finding the region")
        region = bench.finder.find(job.cell.region, witness)
    return Found.seen(Sources(bench.reference, bench.finder, bench.bound), job.cell, region, witness)


def _prepared(bench: Bench, job: CellJob) -> dict[str, Any]:
    """What the cell's evaluations have to know of the intact model."""
    prepared = {}
    for entry in map(evaluation, bench.bound.spec.evaluations_of(job.cell)):
        if entry.prepares:
            job.say(f"preparing {entry.settings.name}")
            prepared[entry.settings.name] = entry.prepare(bench.context)
    return prepared


def _seen_before(bench: Bench, learned: Learned, cell: Cell, region: FoundRegion | None) -> Before:
    subject = Subject(
        cell=cell,
        reference=bench.reference,
        engine=bench.engine,
        formatter=bench.context.formatter,
        evaluations=tuple(map(evaluation, bench.bound.spec.evaluations_of(cell))),
        context=bench.context,
    )
    origins = [bench.finder.origins(each) for each in cell.regions]
    before = Before.seen(subject, bench.finder.model_sha256, region, origins)
    learned.states.setdefault(before.intact, "those of the intact model")
    return before


@contextmanager
def _told_afterwards() -> Iterator[None]:
    """An edit that was not undone ends no run: the receipt `weights/left-as-found` says what is left of it."""
    with suppress(WeightsNotRestored):
        yield


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


@contextmanager
def _changed(bench: Bench, job: CellJob, region: FoundRegion | None) -> Iterator[_Change]:
    """The cell's edit or fine-tuning, for the length of the context; of a cell with neither nothing is changed."""
    bench.engine.rest()
    removed: AbstractContextManager[EditInProgress | None] = nullcontext()
    if region is not None:
        removed = region_removed(bench.loaded.model, region, bench.finder.planted)
    with _fine_tuned(bench, job) as tuned, removed as edit:
        yield _Change(edit, tuned)


def _fine_tuned(bench: Bench, job: CellJob) -> AbstractContextManager[FineTuned | None]:
    if job.cell.fine_tuning is None:
        return nullcontext()
    return fine_tuned(bench.bound, bench.loaded, bench.finder, job.cell.fine_tuning, job.checkpoints, job.say)


def _evaluate(bench: Bench, job: CellJob, context: EvaluationContext) -> _Raw:
    """Every evaluation of the cell, each with an engine that notes what passes; nothing is judged."""
    raw = _Raw()
    for entry in map(evaluation, bench.bound.spec.evaluations_of(job.cell)):
        job.say(entry.settings.name)
        watched = ObservedEngine(bench.engine, bench.loaded.model)
        result = entry.measure(replace(context, engine=watched))
        raw.seen.append(Seen(entry, watched.observed, result.measurements))
        raw.completions += result.completions
        raw.values += result.raw
        raw.measurements += result.measurements
        raw.task_hashes |= result.task_hashes
    return raw


def _figures_of_texts(bench: Bench, judged_texts: list[Completion]) -> list[Measurement]:
    found: list[Measurement] = []
    for settings in bench.bound.spec.evaluations:
        own = [completion for completion in judged_texts if completion.evaluation == settings.name]
        if own:
            unfit = unfit_of(bench, settings, judged_texts)
            found += evaluation(settings).figures(own, unfit)
    return found


def _figures_of_edit(receipt: EditReceipt | None) -> list[Measurement]:
    """Precision and recall of the region against the planted one, where a variant has one."""
    if receipt is None or receipt.truth is None:
        return []
    truth = receipt.truth
    return [
        Measurement(metric=metric, value=value, n=n, resolution=1 / n if n else None)
        for metric, value, n in (
            ("planted_precision", truth.precision, truth.selected),
            ("planted_recall", truth.recall, truth.planted),
        )
        if value is not None
    ]


def _invalidated(measurements: Sequence[Measurement], receipts: Sequence[StageReceipt]) -> tuple[Measurement, ...]:
    """The measurements; where a receipt does not hold, none of them counts, for its reason."""
    broken = next((receipt for receipt in receipts if not receipt.holds), None)
    if broken is None:
        return tuple(measurements)
    return tuple(measured.model_copy(update={"valid": False, "reason": broken.words}) for measured in measurements)
