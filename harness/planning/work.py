"""What a benchmark asks of the model, in texts and tokens. Follows harness/runs/cells.py, canaries.py and regions.py.

Generated tokens, and scored ones where they are those of generated texts, are upper bounds: every text as long as it
may become. All others are counted, or assumed where the counter says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.attribution.base import method
from harness.evaluations.base import evaluation
from harness.formulas.work import NOTHING, Work, total
from harness.planning.tokens import TokenCounter
from harness.regions import base as regions
from harness.runs.canaries import shortened
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.probing import ProbeSettings
from harness.spec.region import AttributionSettings, Region, sources_of
from harness.spec.variant import ModelVariant


def of_evaluations(spec: BenchmarkSpec, cells: Sequence[Cell], counter: TokenCounter) -> Work:
    """The evaluations of cells, and the evidence that their texts are judged by; what many ask is counted once."""
    asked = [settings for cell in cells for settings in spec.evaluations_of(cell)]
    each = {settings.name: settings for settings in asked}
    counted = {name: _of_evaluation(settings, spec, counter) for name, settings in each.items()}
    return total(counted[settings.name] for settings in asked)


def _of_evaluation(settings: Any, spec: BenchmarkSpec, counter: TokenCounter) -> Work:
    def scoring(regions: Sequence[Region]) -> Work:  # and by the receipts once more
        return _one_shot(spec, regions, counter) + total(
            Work(forward_tokens=tokens) for tokens in _set_tokens(spec, regions, counter)
        )

    return evaluation(settings).work(counter, scoring)


def of_thresholds(spec: BenchmarkSpec, counter: TokenCounter) -> Work:
    """The intact model's own texts, greedy and sampled, from which the thresholds of validity come."""
    limit = spec.validity.calibration_prompts
    greedy = total(
        evaluation(settings.model_copy(update={"prompts": min(settings.prompts, limit), "samples": 1})).work(
            counter, lambda _: NOTHING
        )
        for settings in spec.evaluations
        if settings.calibrates_validity
    )
    return greedy + greedy


def of_canaries(spec: BenchmarkSpec, counter: TokenCounter) -> Work:
    """Few texts of the intact model, twice, and of two changed ones."""
    each = [evaluation(settings).work(counter, lambda _: NOTHING) for settings in shortened(spec)]
    return total([*each, *each, each[0], each[0]]) if each else NOTHING


def of_attribution(spec: BenchmarkSpec, cells: Sequence[Cell], counter: TokenCounter, blocks: int) -> Work:
    """Scores, Grams and directions of all regions; what is stored is measured once, block by block for each cell."""
    found = regions_of(spec, cells)
    stored = [region for region in found if schedule_of(region, spec.attribution) == "one_shot"]
    stepwise = [
        region
        for cell in cells
        for region in sources_of(cell.regions)
        if schedule_of(region, spec.attribution) == "block_by_block"
    ]
    bare = [
        (name, None)
        for cell in cells
        for settings in spec.evaluations_of(cell)
        if not settings.regions
        for name in settings.calibration_sets
    ]
    grams = Work(
        forward_tokens=(t := sum(sum(counter.pairs(spec.calibration[n], s)) for n, s in set(bare))),
        gram_tokens=t,
        factored_models=len(set(bare)),
    )
    receipts = total(Work(forward_tokens=tokens) for tokens in _set_tokens(spec, found, counter))
    factored = Work(factored_models=sum(regions.region(region).spectra for cell in cells for region in cell.regions))
    probes = total(Work(forward_tokens=counter.probed(probe)) for probe in _probes(found))
    one_shot = _one_shot(spec, stored, counter)
    return total(
        [
            one_shot,
            grams,
            receipts,
            factored,
            probes,
            *(_block_by_block(spec, region, counter, blocks) for region in stepwise),
        ]
    )


def regions_of(spec: BenchmarkSpec, cells: Sequence[Cell]) -> list[Region]:
    """Every region that has to be found, once: of cells and of what is measured in them."""
    found = [region for cell in cells for region in cell.regions]
    found += [region for cell in cells for settings in spec.evaluations_of(cell) for region in settings.regions]
    return list(dict.fromkeys(sources_of(found)))


def schedule_of(region: Region, defaults: AttributionSettings) -> str | None:
    """How a region's scores or Grams are measured; None of one that looks at no data."""
    return regions.region(region).schedule(defaults)


def measured_sets(spec: BenchmarkSpec, found: Sequence[Region]) -> list[tuple[str, str, int | None]]:
    """(method or `gram`, calibration set, seed) of everything that is measured once and stored."""
    return list(
        dict.fromkeys(
            (region.measure.name, name, region.seed)
            for region in map(regions.region, found)
            if region.measure is not None and region.measure.uses_data
            for name in region.settings.calibration_sets
        )
    )


def _one_shot(spec: BenchmarkSpec, regions: Sequence[Region], counter: TokenCounter) -> Work:
    return total(
        _measured(measure, counter.pairs(spec.calibration[name], seed))
        for measure, name, seed in measured_sets(spec, regions)
    )


def _block_by_block(spec: BenchmarkSpec, region: Region, counter: TokenCounter, blocks: int) -> Work:
    """Every block by itself, and once more to go on: from it to the end and back, or through it alone."""
    parts = []
    for measure, name, seed in measured_sets(spec, [region]):
        once = _measured(measure, counter.pairs(spec.calibration[name], seed))
        tokens = once.forward_tokens * ((blocks + 1) / 2 + 1 if once.backward_tokens else 2)
        back = once.backward_tokens * (blocks + 1) / 2
        parts.append(
            Work(
                forward_tokens=round(tokens),
                backward_tokens=round(back),
                gram_tokens=once.gram_tokens,
                backward_examples=once.backward_examples,
            )
        )
    return total(parts)


def _measured(measure: str, pairs: Sequence[int]) -> Work:
    """measure: a method, or `gram`."""
    tokens = sum(pairs)
    if measure == "gram":
        return Work(forward_tokens=tokens, gram_tokens=tokens)
    asked = method(measure).work()
    return Work(
        forward_tokens=round(asked.forward * tokens),
        backward_tokens=round(asked.backward * tokens),
        backward_examples=len(pairs) if asked.one_by_one else 0,
    )


def _set_tokens(spec: BenchmarkSpec, regions: Sequence[Region], counter: TokenCounter) -> list[int]:
    """Of each calibration set that receipts go through once more."""
    sets = dict.fromkeys((name, seed) for _, name, seed in measured_sets(spec, regions))
    return [sum(counter.pairs(spec.calibration[name], seed)) for name, seed in sets]


def _probes(found: Sequence[Region]) -> list[ProbeSettings]:
    """Probes of attention heads, each once however many of the heads are taken."""
    probes = [region.probe for region in found if region.probe is not None]
    return list({tuple(probe.model_dump(exclude={"fraction"}).items()): probe for probe in probes}.values())


def of_fine_tuning(cell: Cell, variant: ModelVariant, counter: TokenCounter) -> Work:
    """All steps of a cell's fine-tuning."""
    if cell.fine_tuning is None:
        return NOTHING
    settings = variant.scaled(cell.fine_tuning)
    return Work(tuned_tokens=settings.epochs * counter.training(settings), tuned_steps=settings.steps)
