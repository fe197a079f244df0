"""Measuring one cell: from its region to judged outputs, on a model that is intact before and after."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.evaluations.base import EvaluationContext, evaluation
from harness.models.editing import FoundRegion
from harness.receipts.asked import prompt_receipts
from harness.receipts.before import Before
from harness.receipts.changed import Changed
from harness.receipts.evaluated import Evaluated
from harness.receipts.found import Found, Sources
from harness.receipts.judged import Judged
from harness.receipts.observed_engine import ObservedEngine
from harness.receipts.planted import compared_with_planted
from harness.receipts.state import ModelState, left_as_found
from harness.receipts.subject import Seen, Subject
from harness.regions.base import Witness
from harness.runs.bench import Bench, Learned, Step
from harness.runs.changes import in_force
from harness.runs.judges import JudgedTexts, judged_texts
from harness.runs.judging import judged, know_intact_answers
from harness.runs.outcomes import Outcome, all_figures, result_of
from harness.spec.cell import Cell
from harness.spec.measurement import Completion, Measurement, RawValues
from harness.spec.result import CellResult
from harness.validity.classification import Thresholds


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
    with in_force(bench, before, found, job.checkpoints, job.say) as change:
        changed = Changed.seen(before, change.tuned)
        raw = _evaluate(bench, job, replace(bench.context, training=change.training, prepared=prepared))
        evaluated = Evaluated.seen(changed, raw.seen, raw.completions, learned.states)
    learned.states.setdefault(changed.edited, f"those of the cell {job.cell.id}")
    texts = _judged(bench, learned, job, raw.completions)
    figures = all_figures(bench, job.cell, raw.measurements, texts, change.edit_receipt)
    judgement = Judged.seen(before.subject, texts.completions, figures, learned.intact_answers)
    left = left_as_found(before.state, ModelState.of(bench.loaded.model))
    receipts = [
        *found.receipts,
        *prompt_receipts(before.subject, raw.seen),
        *(receipt for stage in (before, changed, evaluated, judgement) for receipt in stage.receipts),
        *texts.receipts,
        *change.tuning_receipts,
        *compared_with_planted(found.region, change.edit_receipt, bench.bound.planted_path),
        left,
    ]
    outcome = Outcome(change, texts, figures, receipts, found.unchecked, raw.task_hashes)
    result = result_of(bench, job.cell, outcome, time.monotonic() - began)
    return MeasuredCell(result, texts.completions, raw.values, left.holds)


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
    evaluated = [region for entry in bench.bound.spec.evaluations_of(cell) for region in entry.regions]
    origins = bench.finder.origins([*cell.regions, *evaluated])
    before = Before.seen(subject, bench.finder.model_sha256, region, origins)
    learned.states.setdefault(before.intact, "those of the intact model")
    return before


def _evaluate(bench: Bench, job: CellJob, context: EvaluationContext) -> _Raw:
    """Every evaluation of the cell, each with an engine that notes what passes; nothing is judged."""
    raw = _Raw()
    for entry in map(evaluation, bench.bound.spec.evaluations_of(job.cell)):
        job.say(entry.settings.name)
        watched = ObservedEngine(bench.engine, bench.loaded.model)
        result = entry.measure(replace(context, engine=watched))
        seen_in = replace(context, reference=bench.reference, cell=job.cell.id)
        raw.seen.append(Seen(entry, watched.observed, result.measurements, seen_in))
        raw.completions += result.completions
        raw.values += result.raw
        raw.measurements += result.measurements
        raw.task_hashes |= result.task_hashes
    return raw


def _judged(bench: Bench, learned: Learned, job: CellJob, completions: list[Completion]) -> JudgedTexts:
    """The texts with their classes, and what each judge says of them. The model must be intact."""
    job.say("judging the outputs")
    classified = judged(bench, completions, job.thresholds)
    return judged_texts(bench, learned, job.cell, classified, job.thresholds)
