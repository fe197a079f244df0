"""What a benchmark on a variant takes on each kind of device, of the CPU's memory and of the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.attribution.base import AttributionMethod, method
from harness.formulas.memory import FLOAT32, LlamaShape, gram_bytes, score_bytes
from harness.formulas.work import NOTHING, Work, total
from harness.planning import memory, work
from harness.planning.document import Device
from harness.planning.hours import Load, cpu_seconds, gpu_seconds, large_cpu_seconds
from harness.planning.memory import ITEMSIZES, Model, Phase
from harness.planning.rates import Card, rates
from harness.planning.tokens import TokenCounter
from harness.regions.base import GRAM
from harness.runs.processes import LARGEST_SHARED_BYTES, MOST_PROCESSES, usable_cores
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.variant import ModelVariant

#: The card that a plan is for where none is named and the model is too large for a CPU.
DEFAULT_CARD = "a100-80g"
#: Of a completion on disk: its text and token ids, about, and the prompt and evidence.
_COMPLETION_BYTES_PER_TOKEN, _COMPLETION_BYTES = 12, 1500


@dataclass(frozen=True)
class Subject:
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
        """Method, or GRAM, of everything that is measured and stored."""
        sets = [measure for measure, *_ in work.measured_sets(self.spec, work.regions_of(self.spec, self.cells))]
        bare = {
            name
            for cell in self.cells
            for settings in self.spec.evaluations_of(cell)
            if not settings.regions
            for name in settings.calibration_sets
        }
        return sets + [GRAM] * len(bare)

    @property
    def stored(self) -> dict[str, int]:
        """Sets of scores and of Grams."""
        grams = self.methods.count(GRAM)
        return {"scores": len(self.methods) - grams, "grams": grams}


def subject_of(
    spec: BenchmarkSpec, variant: ModelVariant, cells: Sequence[Cell], counter: TokenCounter, shape: LlamaShape
) -> Subject:
    """cells: those that are to be measured."""
    bare = Subject(spec, variant, list(cells), counter, Model(shape, ITEMSIZES[variant.dtype], 0))
    return replace(bare, model=replace(bare.model, text_tokens=_longest_text(bare)))


def work_of(subject: Subject) -> Work:
    """All that is asked of the model."""
    spec, variant, cells, counter = subject.spec, subject.variant, subject.cells, subject.counter
    if not cells:
        return NOTHING
    return total(
        [
            work.of_thresholds(spec, counter),
            work.of_canaries(spec, counter),
            work.of_attribution(spec, cells, counter, subject.model.shape.blocks),
            work.of_evaluations(spec, cells, counter),
            *(work.of_fine_tuning(cell, variant, counter) for cell in cells),
        ]
    )


def devices_for(subject: Subject, asked: Work, gpu: str | None) -> tuple[str, dict[str, Device]]:
    """(the device that the plan is for, every one that is estimated). A small model is measured on the CPU."""
    if gpu is None and subject.model.weight_bytes <= LARGEST_SHARED_BYTES:
        return "cpu", {"cpu": _on_cpu(asked, subject.cells)}
    devices = {name: _on_card(subject, asked, card) for name, card in rates().cards.items()}
    wide = replace(subject.model, itemsize=ITEMSIZES["float32"])
    if wide.weight_bytes <= rates().large_cpu.largest_weight_bytes.value:
        load = Load(len(subject.cells), subject.variant.engine, 1, subject.stored, 0)
        seconds = large_cpu_seconds(asked, load, wide)
        devices["cpu"] = Device("CPU, one thread, float32", seconds, (), None, True)
    return gpu or DEFAULT_CARD, devices


def _longest_text(subject: Subject) -> int:
    """Tokens of the longest prompt and its answer."""
    limit = subject.variant.max_new_tokens
    lengths = [
        max(subject.counter.prompts(settings), default=0) + min(settings.max_new_tokens, limit)
        for settings in subject.spec.evaluations
        if settings.generates_texts
    ]
    return max(lengths, default=1)


def _on_cpu(asked: Work, cells: Sequence[Cell]) -> Device:
    processes = max(1, min(usable_cores(), len(cells), MOST_PROCESSES))
    title = f"CPU, {processes} process(es) of one thread"
    return Device(title, cpu_seconds(asked, len(cells), processes), (), None, True)


def _on_card(subject: Subject, asked: Work, card: Card) -> Device:
    phases = _phases(subject, asked, card)
    spilled = sum(sum(phase.spilled.values()) for phase in phases)
    load = Load(
        cells=len(subject.cells),
        engine=subject.variant.engine,
        texts_at_once=_rows(subject, asked, card),
        stored=subject.stored,
        spilled_bytes=spilled,
    )
    seconds = gpu_seconds(asked, load, subject.model, card)
    return Device(card.title, seconds, tuple(phases), memory.usable_bytes(card), memory.fits(phases, card))


def _rows(subject: Subject, asked: Work, card: Card) -> int:
    """Texts at once, by the engine's own limit and the card's memory."""
    largest = int(rates().gpu.of_engine(subject.variant.engine).texts_at_once.value)
    keys = memory.generation(subject.model, card, max(1, asked.texts), largest).on_card["keys and values"]
    return max(1, keys // memory.generation(subject.model, card, 1, 1).on_card["keys and values"])


def _phases(subject: Subject, asked: Work, card: Card) -> list[Phase]:
    """The phases of this benchmark, each once, on one card."""
    model, tokens, methods = subject.model, subject.set_tokens, subject.methods
    phases = []
    scored = {each.title: each.work() for each in methods_of(subject) if each.uses_data}
    if back := [title for title, asked in scored.items() if asked.backward]:
        phases.append(memory.backward_scores(", ".join(back), model, card, tokens))
    if forward := [title for title, asked in scored.items() if not asked.backward]:
        phases.append(memory.forward_scores(", ".join(forward), model, tokens))
    if GRAM in methods:
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


def methods_of(subject: Subject) -> list[AttributionMethod]:
    return [method(name) for name in dict.fromkeys(subject.methods) if name != GRAM]


def host_bytes(subject: Subject) -> dict[str, int]:
    """The CPU's memory where a model lies on a GPU: what is held at once for one cell."""
    model, scores = subject.model, subject.stored["scores"]
    parts = {"scores of the sets of a region": min(2, scores) * score_bytes(model.shape)}
    parts["Grams of the sets of a region"] = min(2, subject.stored["grams"]) * gram_bytes(model.shape)
    if any(region for cell in subject.cells for region in cell.regions if not region.of_ranks):
        parts["masks"] = model.shape.linear_weights
    if any(cell.fine_tuning for cell in subject.cells):
        parts["the intact model, and what was learned"] = model.weight_bytes + model.shape.parameters * FLOAT32
    return {name: size for name, size in parts.items() if size}


def disk_bytes(subject: Subject, asked: Work, weights_here: bool) -> dict[str, int]:
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
