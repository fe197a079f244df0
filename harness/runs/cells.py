"""Measuring one cell: from its region to judged outputs, on a model that is intact before and after."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from harness import plugins
from harness.calibration.pairs import Sample, draw, read_pairs, tokenise
from harness.engines.base import Engine
from harness.errors import InvalidRun, UserError
from harness.evaluations.base import EvaluationContext, evaluation, unchecked_figures
from harness.low_rank.factors import ranks_in_layer
from harness.models.editing import FoundRegion, region_removed
from harness.models.layers import linear_layers
from harness.models.loading import LoadedModel
from harness.models.prompts import PromptFormatter
from harness.models.tensor_files import read_masks
from harness.receipts.logits import finite_outputs
from harness.receipts.reference import Reference
from harness.regions._ranks import RankSettings
from harness.runs import provenance
from harness.runs.binding import BoundBenchmark
from harness.runs.cell_receipts import prompt_receipts, region_receipts, unchecked
from harness.runs.cell_watch import CellWatch, States, invalidated, text_receipts
from harness.runs.fine_tuned import FineTuned, fine_tuned
from harness.runs.head_regions import HeadFinder
from harness.runs.judging import benign_receipts, judged, know_intact_answers, unfit_of
from harness.runs.keys import digest
from harness.runs.regions import RegionFinder, Witness
from harness.runs.store import TensorStore
from harness.spec.benchmark import Cell
from harness.spec.result import CellResult, Completion, EditReceipt, Measurement, StageReceipt
from harness.validity.classification import Thresholds, calibrate, class_counts
from harness.validity.evidence import with_evidence

#: Told what is being done now.
Step = Callable[[str], None]
Wanted = TypeVar("Wanted")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Bench:
    """What all cells of a benchmark share within one process.

    states: fingerprints that the model had, in words. intact_answers: by benign evaluation, whether the intact model
    answers each of its first requests.
    """

    bound: BoundBenchmark
    loaded: LoadedModel
    engine: Engine
    finder: RegionFinder
    context: EvaluationContext
    reference: Reference
    states: States = field(default_factory=dict)
    intact_answers: dict[str, list[bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredCell:
    """A cell's completions with their classes, and its result but for the hash of the file that holds them."""

    result: CellResult
    completions: list[Completion]


def prepare_bench(
    bound: BoundBenchmark, loaded: LoadedModel, model_sha256: str, store: TensorStore, engine: Engine | None = None
) -> Bench:
    """Everything that measuring cells of `bound` on a loaded model needs, its calibration sets tokenised.

    engine: the variant's, on this very model; None makes one.
    Raises UserError, before a cell is measured, where the model has no such ranks as a cell removes.
    """
    for name, layer in linear_layers(loaded.model).items():
        for region in (region for cell in bound.cells for region in cell.regions):
            if isinstance(region, RankSettings):
                ranks_in_layer(region, name, layer.weight)
    formatter = PromptFormatter(loaded.tokenizer, bound.variant.chat_template, bound.variant.system_prompt)
    if engine is None:
        engine = plugins.load("engines", bound.variant.engine).make(loaded)
    environment = digest({"source": provenance.source_sha256(), "machine": provenance.machine(torch.get_num_threads())})
    finder = RegionFinder(
        model=loaded.model,
        model_sha256=model_sha256,
        samples=_calibration_samples(bound, loaded),
        defaults=bound.spec.attribution,
        store=store,
        environment=environment,
        planted=read_masks(bound.planted_path) if bound.planted_path else None,
        heads=HeadFinder(loaded.model, model_sha256, formatter, bound.path_of, store, environment),
    )
    context = EvaluationContext(
        bound.variant,
        engine,
        formatter,
        bound.path_of,
        loaded.model,
        find_masks=_at_rest(engine, finder.masks),
        grams=_at_rest(engine, finder.grams),
        masks_anew=_at_rest(engine, finder.masks_anew),
    )
    reference = Reference(bound.spec, bound.variant, bound.variant_file, loaded.model, bound.path_of)
    return Bench(bound, loaded, engine, finder, context, reference)


def _at_rest(engine: Engine, find: Callable[[Wanted], Found]) -> Callable[[Wanted], Found]:
    """What finds scores or regions, with the accelerator's memory to itself."""

    def rested(wanted: Wanted) -> Found:
        engine.rest()
        return find(wanted)

    return rested


def _calibration_samples(bound: BoundBenchmark, loaded: LoadedModel) -> Callable[[str, int | None], list[Sample]]:
    """Draws a calibration set by its name, with a seed or with its own; each draw is tokenised once."""

    @functools.cache
    def drawn(name: str, seed: int | None) -> list[Sample]:
        declared = bound.spec.calibration[name]
        pairs = draw(
            read_pairs(bound.path_of(declared.dataset)),
            declared.samples,
            declared.seed if seed is None else seed,
            declared.skip,
        )
        return tokenise(pairs, loaded.tokenizer, bound.variant.context_tokens)

    return drawn


def validity_thresholds(bench: Bench) -> Thresholds | None:
    """From the intact model's own texts, greedy and at temperature 1, to the prompts that are evaluated.

    None where a benchmark generates no text. The model must be intact.
    Raises InvalidRun where its texts are none and a receipt says why.
    """
    greedy, sampled = (_own_texts(bench, temperature) for temperature in (0.0, 1.0))
    if not greedy:
        return None
    judged = [with_evidence(texts, bench.engine, bench.context.formatter) for texts in (greedy, sampled)]
    try:
        return Thresholds(greedy=calibrate(judged[0]), sampled=calibrate(judged[1]))
    except UserError:
        for receipt in [_finite_texts(bench, greedy), *text_receipts(bench, greedy)]:
            if not receipt.holds:
                raise InvalidRun(f"{receipt.stage}/{receipt.name}", receipt.words) from None
        raise


def _finite_texts(bench: Bench, texts: Sequence[Completion]) -> StageReceipt:
    overflowing = sum("non_finite_logits" in completion.evidence for completion in texts)
    return finite_outputs(overflowing, 0, len(texts), bench.loaded.model.dtype)


def _own_texts(bench: Bench, temperature: float) -> list[Completion]:
    settings = bench.bound.spec.validity
    texts: list[Completion] = []
    for declared in bench.bound.spec.evaluations:
        if not declared.calibrates_validity:
            continue
        drawn = declared.model_copy(
            update={
                "prompts": min(declared.prompts, settings.calibration_prompts),
                "samples": 1,
                "temperature": temperature,
                "seed": settings.seed,
            }
        )
        texts += evaluation(drawn).measure(bench.context).completions
    return texts


def measure_cell(
    bench: Bench, cell: Cell, thresholds: Thresholds | None, checkpoints: Path, step: Step
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
    know_intact_answers(bench, cell, thresholds)
    watch = CellWatch(bench, cell, found)
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
    receipts += [*watch.receipts, *benign_receipts(bench, cell, judged_texts)]
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
