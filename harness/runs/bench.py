"""What all cells of a benchmark share within one process, and what is learned on the way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from harness import plugins
from harness.calibration.pairs import Sample, draw, read_pairs, tokenise
from harness.engines.base import Engine
from harness.evaluations.base import EvaluationContext
from harness.judges.base import Judge
from harness.models.layers import linear_layers
from harness.models.loading import LoadedModel
from harness.models.prompts import PromptFormatter
from harness.models.tensor_files import read_masks
from harness.receipts.reference import Reference
from harness.regions import base as regions
from harness.runs import provenance
from harness.runs.binding import BoundBenchmark
from harness.runs.head_regions import HeadFinder
from harness.runs.regions import RegionFinder
from harness.runs.store import TensorStore
from harness.spec.judge import JudgeFound

#: Told what is being done now.
Step = Callable[[str], None]
Wanted = TypeVar("Wanted")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Bench:
    """What all cells of a benchmark share: the same before the first of them and after the last."""

    bound: BoundBenchmark
    loaded: LoadedModel
    engine: Engine
    finder: RegionFinder
    context: EvaluationContext
    reference: Reference


@dataclass(frozen=True)
class KnownJudge:
    """A judge of texts, and what it made of the known ones."""

    judge: Judge
    found: JudgeFound


@dataclass
class Learned:
    """What grows from cell to cell.

    states: fingerprints that the model had, in words. intact_answers: by benign evaluation, whether the intact model
    answers each of its first requests. judges: by their settings, those that have read the known texts.
    """

    states: dict[str, str] = field(default_factory=dict)
    intact_answers: dict[str, list[bool]] = field(default_factory=dict)
    judges: dict[str, KnownJudge] = field(default_factory=dict)


def prepare_bench(
    bound: BoundBenchmark, loaded: LoadedModel, model_sha256: str, store: TensorStore, engine: Engine | None = None
) -> Bench:
    """Everything that measuring cells of `bound` on a loaded model needs, its calibration sets tokenised.

    engine: the variant's, on this very model; None makes one.
    Raises UserError, before a cell is measured, where the model has no such ranks as a cell removes.
    """
    for region in dict.fromkeys(region for cell in bound.cells for region in cell.regions):
        regions.region(region).refuse_unfit(linear_layers(loaded.model), bound.spec.attribution)
    formatter = PromptFormatter(loaded.tokenizer, bound.variant.chat_template, bound.variant.system_prompt)
    if engine is None:
        engine = plugins.load("engines", bound.variant.engine).make(loaded)
    machine = provenance.hardware(torch.get_num_threads())
    finder = RegionFinder(
        model=loaded.model,
        model_sha256=model_sha256,
        samples=_calibration_samples(bound, loaded),
        defaults=bound.spec.attribution,
        store=store,
        machine=machine,
        planted=read_masks(bound.planted_path) if bound.planted_path else None,
        heads=HeadFinder(loaded.model, model_sha256, formatter, bound.path_of, store, machine),
        set_in_words=lambda name: f"{name} ({bound.spec.calibration[name].dataset})",
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
        variant = bound.variant
        return tokenise(pairs, loaded.tokenizer, variant.context_tokens, variant.chat_template)

    return drawn
