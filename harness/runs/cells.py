"""Measuring cells: one model state each, from region to judged outputs."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness import plugins
from harness.calibration.pairs import Sample, draw, read_pairs, tokenise
from harness.engines.base import Engine
from harness.evaluations.base import EvaluationContext
from harness.models.editing import weights_removed
from harness.models.loading import LoadedModel
from harness.models.prompts import PromptFormatter
from harness.models.tensor_files import read_masks
from harness.runs import provenance
from harness.runs.binding import BoundBenchmark
from harness.runs.fine_tuned import fine_tuned
from harness.runs.journal import Journal
from harness.runs.regions import RegionFinder
from harness.runs.store import ScoreStore
from harness.spec.benchmark import Cell
from harness.spec.result import CellResult, Completion, EditReceipt, FineTuningReceipt, Measurement
from harness.validity.classification import Thresholds, calibrate, class_counts, classify, invalid_reason
from harness.validity.evidence import with_evidence

#: Source folders that decide a score; a change in them makes stored scores unusable.
_SCORE_SOURCES = ("attribution", "formulas", "calibration", "models")


class Progress(Protocol):
    """What a run tells while it works."""

    def begin(self, benchmark: str, cells: int) -> None:
        """A benchmark begins, with so many cells."""

    def step(self, words: str) -> None:
        """What is being done now."""

    def finished_cell(self, cell: str, resumed: bool) -> None:
        """A cell is on disk."""


@dataclass(frozen=True)
class Bench:
    """What all cells of a run share."""

    bound: BoundBenchmark
    loaded: LoadedModel
    engine: Engine
    finder: RegionFinder
    context: EvaluationContext
    journal: Journal
    progress: Progress


def prepare_bench(bound: BoundBenchmark, loaded: LoadedModel, model_sha256: str, out: Path, journal: Journal,
             progress: Progress) -> Bench:  # fmt: skip
    formatter = PromptFormatter(loaded.tokenizer, bound.variant.chat_template, bound.variant.system_prompt)
    engine = plugins.load("engines", bound.variant.engine).make(loaded)
    finder = RegionFinder(
        model=loaded.model, model_sha256=model_sha256, samples=_calibration_samples(bound, loaded),
        defaults=bound.spec.attribution, store=ScoreStore(out / "store" / "scores"),
        source_sha256=provenance.source_sha256(*_SCORE_SOURCES),
        planted=read_masks(bound.planted_path) if bound.planted_path else None,
    )  # fmt: skip
    context = EvaluationContext(bound.variant, engine, formatter, bound.path_of)
    return Bench(bound, loaded, engine, finder, context, journal, progress)


def _calibration_samples(bound: BoundBenchmark, loaded: LoadedModel) -> dict[str, list[Sample]]:
    samples = {}
    for name, declared in bound.spec.calibration.items():
        pairs = draw(read_pairs(bound.path_of(declared.dataset)), declared.samples, declared.seed)
        samples[name] = tokenise(pairs, loaded.tokenizer, bound.variant.context_tokens)
    return samples


def validity_thresholds(bench: Bench) -> Thresholds:
    """From the intact model's own samples, greedy and at temperature 1, to every kind of prompt that is evaluated."""
    stored = bench.journal.thresholds()
    if stored is not None:
        return Thresholds(**stored)
    bench.progress.step("calibrating what counts as an answer")
    settings = bench.bound.spec.validity
    completions: list[Completion] = []
    for evaluation in bench.bound.spec.evaluations:
        if evaluation.kind != "attack" or not evaluation.chat_template or evaluation.suffixes:
            continue
        count = min(evaluation.prompts, settings.calibration_prompts)
        for temperature in (0.0, 1.0):
            drawn = evaluation.model_copy(update={
                "prompts": count, "samples": 1, "temperature": temperature, "seed": settings.seed})  # fmt: skip
            completions += plugins.load("evaluations", "attack").evaluate(drawn, bench.context).completions
    thresholds = calibrate(with_evidence(completions, bench.engine, bench.context.formatter))
    bench.journal.write_thresholds({"surprise": thresholds.surprise, "repetition": thresholds.repetition,
                                    "length": thresholds.length})  # fmt: skip
    return thresholds


def measure_cell(bench: Bench, cell: Cell, thresholds: Thresholds) -> CellResult:
    """Find the region, edit or fine-tune, evaluate, undo, judge the outputs with the intact model, write."""
    began = time.monotonic()
    masks = None
    if cell.region is not None:
        bench.progress.step(f"{cell.id}: finding the region")
        masks = bench.finder.masks(cell.region)
    with (
        _fine_tuned(bench, cell) as tuning,
        nullcontext() if masks is None else weights_removed(bench.loaded.model, masks, bench.finder.planted) as edit,
    ):
        completions, measurements, hashes = _evaluate(bench, cell)
    bench.progress.step(f"{cell.id}: judging the outputs")
    judged = [completion.model_copy(update={"completion_class": classify(completion, thresholds)})
              for completion in with_evidence(completions, bench.engine, bench.context.formatter)]  # fmt: skip
    measurements += _completion_measurements(bench, judged)
    receipt = edit.receipt if edit else None
    measurements += _truth_measurements(receipt)
    group = next(group for group in bench.bound.spec.cells if group.id == cell.group)
    result = CellResult(
        id=cell.id, group=cell.group, title=group.title, parameters=cell.parameters, receipt=receipt,
        fine_tuning=tuning,
        measurements=tuple(measurements), completion_classes=class_counts(judged),
        invalid_is_expected=cell.invalid_is_expected, seconds=round(time.monotonic() - began, 3),
        completions_sha256=bench.journal.write_completions(cell.id, judged), task_hashes=hashes,
    )  # fmt: skip
    bench.journal.write_cell(result)
    return result


def _fine_tuned(bench: Bench, cell: Cell) -> AbstractContextManager[FineTuningReceipt | None]:
    """The cell's fine-tuning for the length of the context, or nothing where it has none."""
    if cell.fine_tuning is None:
        return nullcontext()
    return fine_tuned(bench.bound, bench.loaded, bench.finder, cell.fine_tuning,
                      lambda words: bench.progress.step(f"{cell.id}: {words}"))  # fmt: skip


def _evaluate(bench: Bench, cell: Cell) -> tuple[list[Completion], list[Measurement], dict[str, str]]:
    completions: list[Completion] = []
    measurements: list[Measurement] = []
    hashes: dict[str, str] = {}
    for settings in bench.bound.spec.evaluations:
        bench.progress.step(f"{cell.id}: {settings.name}")
        result = plugins.load("evaluations", settings.kind).evaluate(settings, bench.context)
        completions += result.completions
        measurements += result.measurements
        hashes.update(result.task_hashes)
    return completions, measurements, hashes


def _completion_measurements(bench: Bench, judged: list[Completion]) -> list[Measurement]:
    found: list[Measurement] = []
    for settings in bench.bound.spec.evaluations:
        own = [completion for completion in judged if completion.evaluation == settings.name]
        if own:
            reason = invalid_reason(own, bench.bound.spec.validity.minimum_fit_share)
            found += plugins.load("evaluations", settings.kind).measure(settings, own, reason)
    return found


def _truth_measurements(receipt: EditReceipt | None) -> list[Measurement]:
    """Precision and recall of the region against the planted one, where a variant has one."""
    if receipt is None or receipt.truth is None:
        return []
    truth = receipt.truth
    return [Measurement(metric=metric, value=value, n=n)
            for metric, value, n in (("planted_precision", truth.precision, truth.selected),
                                     ("planted_recall", truth.recall, truth.planted))
            if value is not None]  # fmt: skip
