"""Measuring one cell: from its region to judged outputs, on a model that is intact before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.evaluations.base import EvaluationContext, evaluation, unchecked_figures
from harness.models.editing import FoundRegion, region_removed
from harness.runs.bench import Bench, Learned, Step
from harness.runs.cell_receipts import prompt_receipts, region_receipts, unchecked
from harness.runs.cell_watch import CellWatch, invalidated
from harness.runs.fine_tuned import FineTuned, fine_tuned
from harness.runs.judging import benign_receipts, judged, know_intact_answers, unfit_of
from harness.runs.regions import Witness
from harness.spec.benchmark import Cell
from harness.spec.result import CellResult, Completion, EditReceipt, Measurement, StageReceipt
from harness.validity.classification import Thresholds, class_counts


@dataclass(frozen=True)
class MeasuredCell:
    """A cell's completions with their classes, and its result but for the hash of the file that holds them."""

    result: CellResult
    completions: list[Completion]


def measure_cell(
    bench: Bench, learned: Learned, cell: Cell, thresholds: Thresholds | None, checkpoints: Path, step: Step
) -> MeasuredCell:
    """Find the region, edit or fine-tune, evaluate, undo, and judge the outputs with the intact model.

    checkpoints: the folder for those of the cell's fine-tuning.
    """
    began = time.monotonic()
    found: FoundRegion | None = None
    witness: Witness | None = None
    bench.engine.rest()
    if cell.region is not None:
        step(f"{cell.id}: finding the region")
        witness = Witness()
        found = bench.finder.find(cell.region, witness)
    receipts = region_receipts(
        bench.reference, bench.bound, bench.finder, cell, None if found is None or witness is None else (found, witness)
    )
    nobody_checks = unchecked(bench.reference, cell)
    witness = None  # scores of a large model take as much memory as the model
    prepared = _prepared(bench, cell, step)
    know_intact_answers(bench, learned, cell, thresholds)
    watch = CellWatch(bench, learned, cell, found)
    watch.before()
    bench.engine.rest()
    with (
        _explained_by(receipts),
        _fine_tuned(bench, cell, checkpoints, step) as tuned,
        nullcontext() if found is None else region_removed(bench.loaded.model, found, bench.finder.planted) as edit,
    ):
        context = replace(bench.context, training=tuned.training if tuned else None, prepared=prepared)
        watch.changed(tuned)
        completions, measurements, hashes = _evaluate(bench, cell, context, watch, step)
        watch.evaluated(completions)
    receipts += prompt_receipts(bench.reference, context, watch.seen)
    step(f"{cell.id}: judging the outputs")
    judged_texts = judged(bench, completions, thresholds)
    receipt = edit.receipt if edit else None
    measurements += [*_completion_measurements(bench, judged_texts), *_truth_measurements(receipt)]
    watch.judged(judged_texts, measurements)
    receipts += [*watch.receipts, *benign_receipts(bench, learned, cell, judged_texts)]
    receipts += tuned.receipts if tuned else []
    group = next(group for group in bench.bound.spec.cells if group.id == cell.group)
    result = CellResult(
        id=cell.id,
        group=cell.group,
        title=group.title,
        parameters=cell.parameters,
        receipt=receipt,
        fine_tuning=tuned.receipt if tuned else None,
        measurements=invalidated(measurements, receipts),
        completion_classes=class_counts(judged_texts),
        invalid_is_expected=cell.invalid_is_expected,
        seconds=round(time.monotonic() - began, 3),
        completions_sha256="",
        task_hashes=hashes,
        receipts=tuple(receipts),
        unchecked=(*nobody_checks, *unchecked_figures(bench.bound.spec.evaluations_of(cell))),
    )
    return MeasuredCell(result, judged_texts)


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


def _prepared(bench: Bench, cell: Cell, step: Step) -> dict[str, Any]:
    """What the cell's evaluations have to know of the intact model."""
    prepared = {}
    for settings in bench.bound.spec.evaluations_of(cell):
        entry = evaluation(settings)
        if entry.prepares:
            step(f"{cell.id}: preparing {settings.name}")
            prepared[settings.name] = entry.prepare(bench.context)
    return prepared


def _fine_tuned(bench: Bench, cell: Cell, checkpoints: Path, step: Step) -> AbstractContextManager[FineTuned | None]:
    """The cell's fine-tuning for the length of the context, or nothing where it has none."""
    if cell.fine_tuning is None:
        return nullcontext()
    return fine_tuned(
        bench.bound,
        bench.loaded,
        bench.finder,
        cell.fine_tuning,
        checkpoints,
        lambda words: step(f"{cell.id}: {words}"),
    )


def _evaluate(
    bench: Bench, cell: Cell, context: EvaluationContext, watch: CellWatch, step: Step
) -> tuple[list[Completion], list[Measurement], dict[str, str]]:
    completions: list[Completion] = []
    measurements: list[Measurement] = []
    hashes: dict[str, str] = {}
    for settings in bench.bound.spec.evaluations_of(cell):
        step(f"{cell.id}: {settings.name}")
        observed = replace(context, engine=watch.engine_for(settings))
        result = evaluation(settings).measure(observed)
        watch.measured(settings, result.measurements)
        completions += result.completions
        measurements += result.measurements
        hashes.update(result.task_hashes)
    return completions, measurements, hashes


def _completion_measurements(bench: Bench, judged_texts: list[Completion]) -> list[Measurement]:
    found: list[Measurement] = []
    for settings in bench.bound.spec.evaluations:
        own = [completion for completion in judged_texts if completion.evaluation == settings.name]
        if own:
            unfit = unfit_of(bench, settings, judged_texts)
            found += evaluation(settings).figures(own, unfit)
    return found


def _truth_measurements(receipt: EditReceipt | None) -> list[Measurement]:
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
