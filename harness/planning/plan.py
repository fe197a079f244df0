"""A plan: everything that a benchmark on a variant will take, from specs, config and data files alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import plugins
from harness.attribution.base import AttributionMethod, method
from harness.errors import UserError
from harness.executors.local import LARGEST_SHARED_BYTES
from harness.formulas.memory import FLOAT32, gram_bytes, score_bytes
from harness.formulas.work import NOTHING, Work, total
from harness.planning import inventory, memory, work
from harness.planning.document import Cached, CellCount, Device, Plan, unfit
from harness.planning.hours import cpu_seconds, gpu_seconds
from harness.planning.memory import Model, Phase
from harness.planning.rates import Card, rates
from harness.planning.tokens import TokenCounter
from harness.runs.binding import BoundBenchmark, bind
from harness.runs.data_checks import needed_datasets
from harness.runs.keys import Surroundings, cell_key
from harness.runs.processes import MOST_PROCESSES, usable_cores
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.coverage import why_skipped
from harness.spec.variant import ModelVariant

ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
#: The card that a plan is for where none is named and the model is too large for a CPU.
DEFAULT_CARD = "a100-80g"
#: Of a completion on disk: its text and token ids, about, and the prompt and evidence.
_COMPLETION_BYTES_PER_TOKEN, _COMPLETION_BYTES = 12, 1500


@dataclass(frozen=True)
class _Subject:
    """A spec on a variant, with what all parts of a plan ask for."""

    spec: BenchmarkSpec
    variant: ModelVariant
    cells: list[Cell]
    counter: TokenCounter
    model: Model

    @property
    def set_tokens(self) -> int:
        """Tokens of the largest calibration set."""
        sets = self.spec.calibration.values()
        return max((sum(self.counter.pairs(declared, None)) for declared in sets), default=0)

    @property
    def methods(self) -> list[str]:
        """Method, or `gram`, of everything that is measured and stored."""
        sets = [measure for measure, *_ in work.measured_sets(self.spec, work.regions_of(self.spec, self.cells))]
        bare = {
            name
            for cell in self.cells
            for settings in self.spec.evaluations_of(cell)
            if not settings.regions
            for name in settings.calibration_sets
        }
        return sets + ["gram"] * len(bare)

    @property
    def stored(self) -> dict[str, int]:
        """Sets of scores and of Grams."""
        grams = self.methods.count("gram")
        return {"scores": len(self.methods) - grams, "grams": grams}


def make_plan(
    spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path, out: Path, gpu: str | None, engine: str | None
) -> Plan:
    """What `harness run` would take. Raises UserError for unknown names, or where no cell can be measured at all."""
    _refuse_unknown(gpu, engine)
    variant = variant.model_copy(update={"engine": engine}) if engine else variant
    cells = [cell for cell in spec.expanded_cells() if why_skipped(cell, variant) is None]
    if not cells:
        raise UserError(f"the variant {variant.name} skips every cell of {spec.id}: there is nothing to plan")
    present, missing = inventory.data_state(spec, variant, variant_file, cells)
    sizes = inventory.model_sizes(variant, variant_file)
    counter = TokenCounter(variant, variant_file, present)
    to_measure, shared, finished = _to_measure(spec, variant, variant_file, cells, out)
    model = Model(sizes.shape, ITEMSIZES[variant.dtype], 0)
    subject = _Subject(spec, variant, to_measure, counter, model)
    subject = replace(subject, model=replace(model, text_tokens=_longest_text(subject)))
    asked = (
        total(
            [
                work.of_thresholds(spec, counter),
                work.of_canaries(spec, counter),
                work.of_attribution(spec, to_measure, counter, sizes.shape.blocks),
                *(
                    work.of_evaluations(spec, cell, counter) + work.of_fine_tuning(cell, variant, counter)
                    for cell in to_measure
                ),
            ]
        )
        if to_measure
        else NOTHING
    )
    small = gpu is None and model.weight_bytes <= LARGEST_SHARED_BYTES
    devices = (
        {"cpu": _cpu(asked, to_measure)}
        if small
        else {name: _on_card(subject, asked, card) for name, card in rates().cards.items()}
    )
    chosen = "cpu" if small else gpu or DEFAULT_CARD
    weights = not inventory.missing_weights(variant, variant_file)
    problems = _problems(spec, variant, variant_file, missing)
    disk = _disk(subject, asked, weights)
    free = shutil.disk_usage(next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())).free
    return Plan(
        benchmark=spec.id,
        variant=variant.name,
        engine=variant.engine,
        device=chosen,
        parameters=sizes.shape.parameters,
        cells=CellCount(len(cells), shared, tuple(finished), len(spec.expanded_cells()) - len(cells)),
        cached=Cached(
            sizes.source,
            weights,
            None if weights else inventory.how_to_get_weights(variant, variant_file),
            tuple(present),
            missing,
            problems,
        ),
        work=asked,
        assumed=tuple(sorted(counter.assumed)),
        assumed_work=tuple(each.name for each in _methods_of(subject) if each.work().assumed),
        devices=devices,
        host_bytes=_host(subject),
        disk_bytes=disk,
        disk_free_bytes=free,
        unfit=tuple(unfit(chosen, devices, variant.engine)),
    )


def _refuse_unknown(gpu: str | None, engine: str | None) -> None:
    if gpu is not None and gpu not in rates().cards:
        raise UserError(f"no rates are held for the GPU {gpu!r}; {plugins.suggestion(gpu, rates().cards)}")
    known = plugins.names("engines")
    if engine is not None and engine not in known:
        raise UserError(f"no engine is called {engine!r}; {plugins.suggestion(engine, known)}")


def _to_measure(
    spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path, cells: Sequence[Cell], out: Path
) -> tuple[list[Cell], int, list[str]]:
    """(cells that are to be measured, number of those that are the same as another one, ids of finished ones)."""
    finished = inventory.finished_cells(out, variant.name, spec.id, cells)
    names = dict.fromkeys(needed_datasets(spec, variant, cells), "")
    bound = BoundBenchmark(spec, variant, variant_file, tuple(cells), {}, names, None, None)
    nowhere = Surroundings("", "", "", "")
    by_key: dict[str, Cell] = {}
    for cell in cells:
        by_key.setdefault(cell_key(bound, cell, nowhere), cell)
    distinct = list(by_key.values())
    return [cell for cell in distinct if cell.id not in finished], len(cells) - len(distinct), finished


def _problems(
    spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path, missing: dict[str, str]
) -> tuple[str, ...]:
    """What binding would refuse besides missing data."""
    try:
        bind(spec, variant, variant_file)
    except UserError as error:
        known = {line for words in missing.values() for line in words.splitlines()}
        return tuple(line for line in str(error).splitlines() if line not in known)
    return ()


def _longest_text(subject: _Subject) -> int:
    """Tokens of the longest prompt and its answer."""
    limit = subject.variant.max_new_tokens
    lengths = [
        max(subject.counter.prompts(settings), default=0) + min(settings.max_new_tokens, limit)
        for settings in subject.spec.evaluations
        if settings.generates_texts
    ]
    return max(lengths, default=1)


def _cpu(asked: Work, cells: Sequence[Cell]) -> Device:
    processes = max(1, min(usable_cores(), len(cells), MOST_PROCESSES))
    title = f"CPU, {processes} process(es) of one thread"
    return Device(title, cpu_seconds(asked, len(cells), processes), (), None, True)


def _on_card(subject: _Subject, asked: Work, card: Card) -> Device:
    phases = _phases(subject, asked, card)
    spilled = sum(sum(phase.spilled.values()) for phase in phases)
    seconds = gpu_seconds(
        asked,
        len(subject.cells),
        subject.model.shape,
        subject.model.itemsize,
        card,
        subject.variant.engine,
        _rows(subject, asked, card),
        subject.model.text_tokens,
        subject.stored,
        spilled,
    )
    return Device(card.title, seconds, tuple(phases), memory.usable_bytes(card), memory.fits(phases, card))


def _rows(subject: _Subject, asked: Work, card: Card) -> int:
    """Texts at once, by the engine's own limit and the card's memory."""
    gpu = rates().gpu
    largest = gpu.texts_at_once_vllm if subject.variant.engine == "vllm" else gpu.texts_at_once_hf
    keys = memory.generation(subject.model, card, max(1, asked.texts), int(largest.value)).on_card["keys and values"]
    return max(1, keys // memory.generation(subject.model, card, 1, 1).on_card["keys and values"])


def _phases(subject: _Subject, asked: Work, card: Card) -> list[Phase]:
    """The phases of this benchmark, each once, on one card."""
    model, tokens, methods = subject.model, subject.set_tokens, subject.methods
    phases = []
    scored = {each.title: each.work() for each in _methods_of(subject) if each.uses_data}
    if back := [title for title, asked in scored.items() if asked.backward]:
        phases.append(memory.backward_scores(", ".join(back), model, card, tokens))
    if forward := [title for title, asked in scored.items() if not asked.backward]:
        phases.append(memory.forward_scores(", ".join(forward), model, tokens))
    if "gram" in methods:
        phases += [memory.gram_matrices(model, card, tokens), memory.directions(model)]
    tunings = [subject.variant.scaled(cell.fine_tuning) for cell in subject.cells if cell.fine_tuning]
    sized = [
        memory.fine_tuning(model, settings, subject.counter.training(settings) // max(1, settings.examples))
        for settings in tunings
        if settings.examples
    ]
    phases += [max(sized, key=lambda phase: phase.bytes)] if sized else []
    if asked.texts:
        phases.append(memory.generation(model, card, asked.texts, _rows(subject, asked, card)))
    if asked.scored_tokens:
        phases.append(memory.scoring(model))
    return phases


def _methods_of(subject: _Subject) -> list[AttributionMethod]:
    return [method(name) for name in dict.fromkeys(subject.methods) if name != "gram"]


def _host(subject: _Subject) -> dict[str, int]:
    """The CPU's memory where a model lies on a GPU: what is held at once for one cell."""
    model, scores = subject.model, subject.stored["scores"]
    parts = {"scores of the sets of a region": min(2, scores) * score_bytes(model.shape)}
    parts["Grams of the sets of a region"] = min(2, subject.stored["grams"]) * gram_bytes(model.shape)
    if any(region for cell in subject.cells for region in cell.regions if not region.of_ranks):
        parts["masks"] = model.shape.linear_weights
    if any(cell.fine_tuning for cell in subject.cells):
        parts["the intact model, and what was learned"] = model.weight_bytes + model.shape.parameters * FLOAT32
    return {name: size for name, size in parts.items() if size}


def _disk(subject: _Subject, asked: Work, weights_here: bool) -> dict[str, int]:
    model, stored = subject.model, subject.stored
    checkpoints = 0
    for cell in subject.cells:
        if cell.fine_tuning is not None:
            settings = subject.variant.scaled(cell.fine_tuning)
            checkpoints += len(settings.checkpoint_steps) * FLOAT32 * memory.trained_parameters(model.shape, settings)
    texts = asked.texts * _COMPLETION_BYTES + asked.generated_tokens * _COMPLETION_BYTES_PER_TOKEN
    parts = {
        "weights to fetch": 0 if weights_here else model.weight_bytes,
        "scores": stored["scores"] * score_bytes(model.shape),
        "Grams": stored["grams"] * gram_bytes(model.shape),
        "checkpoints": checkpoints,
        "completions": texts,
    }
    return {name: size for name, size in parts.items() if size}
