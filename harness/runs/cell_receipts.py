"""The receipts of a cell's data, scores and masks: what was used, for those who check it by other means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness import plugins
from harness.attribution.base import method
from harness.calibration.plain_block import NO_LABEL
from harness.models.editing import FoundRegion, SelectedRanks, SelectedWeights, remove_region, restore_region
from harness.models.layers import block_layers, linear_layers, transformer_blocks
from harness.models.tensor_files import read_masks
from harness.receipts import data, scores
from harness.receipts.reference import GRAM, Reference, glimpsed_rows
from harness.regions import base as regions
from harness.runs.binding import BoundBenchmark
from harness.runs.regions import RegionFinder, Witness, measure_of
from harness.spec.cell import Cell
from harness.spec.region import AttributionSettings, Region, sources_of
from harness.spec.result import StageReceipt


def region_receipts(
    reference: Reference,
    bound: BoundBenchmark,
    finder: RegionFinder,
    cell: Cell,
    found: tuple[FoundRegion, Witness] | None,
) -> list[StageReceipt]:
    """Receipts of the data, scores and masks of every region that a cell rests on. The model is intact.

    found: the region that the cell removes. Others, which are frozen or compared, are found again.
    """
    bare = [
        name
        for settings in reference.spec.evaluations_of(cell)
        if not settings.regions
        for name in settings.calibration_sets
    ]
    asked = _regions_of(reference, cell)
    declared = {name: dataset.sha256 for name, dataset in bound.variant.datasets.items()}
    receipts = [data.declared_files(bound.data_sha256, declared)]
    receipts += _data_receipts(reference, bound, finder, [*_sets_of(asked), *((name, None) for name in bare)])
    receipts += [_gram_receipt(reference, finder, name) for name in bare]
    for settings in asked:
        if settings is cell.region and found is not None:
            masks, witness = found
        else:
            witness = Witness()
            masks = finder.find(settings, witness)
        region = regions.region(settings)
        look = _look(reference, bound, finder, region, witness)
        receipts += [*_score_receipts(reference, region, masks, witness), *region.receipts(masks, look)]
    return one_of_each(receipts)


def _regions_of(reference: Reference, cell: Cell) -> list[Region]:
    """Every region that a cell rests on, and those that these are made from."""
    evaluated = [region for settings in reference.spec.evaluations_of(cell) for region in settings.regions]
    return list(dict.fromkeys(each for region in [*cell.regions, *evaluated] for each in (region, *region.sources)))


def unchecked(reference: Reference, cell: Cell) -> tuple[str, ...]:
    """What of a cell nobody checks by other means, in words: scores of methods without a plain definition.

    To be asked where its receipts have been made, of the intact model.
    """
    found: list[str] = []
    for region in map(regions.region, _regions_of(reference, cell)):
        found += region.unchecked
        if region.measure is not None and region.measure.method is not None:
            name = region.settings.calibration_sets[0] if region.measure.uses_data else None
            settings, measure = _declared(reference, region), region.measure.name
            if reference.measured(measure, name, region.seed, settings, _block(reference, settings)) is None:
                found.append(f"method {region.measure.method.name}: no plain definition")
    return tuple(dict.fromkeys(found))


def _block(reference: Reference, settings: AttributionSettings) -> int:
    """The block whose scores are compared: the last one, or the first where those behind it are not of this model."""
    return len(transformer_blocks(reference.model)) - 1 if settings.schedule == "one_shot" else 0


def one_of_each(receipts: Sequence[StageReceipt]) -> list[StageReceipt]:
    """Of receipts of one name, as several regions give them, the first that does not hold, or else the first."""
    kept: dict[tuple[str, str], StageReceipt] = {}
    for receipt in receipts:
        earlier = kept.get((receipt.stage, receipt.name))
        if earlier is None or (earlier.holds and not receipt.holds):
            kept[receipt.stage, receipt.name] = receipt
    return list(kept.values())


def _gram_receipt(reference: Reference, finder: RegionFinder, name: str) -> StageReceipt:
    """Of the Grams from which an evaluation computes subspaces itself."""
    settings, last = reference.spec.attribution, len(transformer_blocks(reference.model)) - 1
    plain = reference.measured(GRAM, name, None, settings, last) or {}
    grams = finder.grams(name)
    part = scores.ScoresInUse("data", f"{GRAM} on {name}", {layer: grams[layer] for layer in plain}, plain, {})
    return scores.as_defined([part], f"block {last + 1} of {last + 1}", reference.model.dtype != torch.float32)


def _sets_of(asked: Sequence[Region]) -> list[tuple[str, int | None]]:
    """Calibration sets by name and seed that regions rest on."""
    used = [
        (name, region.seed)
        for region in map(regions.region, sources_of(asked))
        if region.measure is not None and region.measure.uses_data
        for name in region.settings.calibration_sets
    ]
    return list(dict.fromkeys(used))


def _data_receipts(
    reference: Reference, bound: BoundBenchmark, finder: RegionFinder, sets: Sequence[tuple[str, int | None]]
) -> list[StageReceipt]:
    if not sets:
        return []
    plain = [reference.samples(name, seed) for name, seed in sets]
    used = [finder.samples(name, seed) for name, seed in sets]
    ids = [sample.input_ids[sample.labels == NO_LABEL].tolist() for samples in used for sample in samples]
    texts = [
        text.removeprefix(reference.tokenizer.bos_token).lstrip()
        for text in reference.tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False)
    ]
    hashes = [bound.data_sha256[own.dataset] for own in plain]
    receipts = [data.same_samples(plain, used, hashes)]
    if reference.evaluated or reference.benign:
        receipts.append(data.nothing_evaluated(plain, texts, reference.evaluated, reference.frames, reference.benign))
    return receipts


def _score_receipts(
    reference: Reference, region: regions.Region, found: FoundRegion, witness: Witness
) -> list[StageReceipt]:
    measure = region.measure
    if measure is None:
        return []
    settings = _declared(reference, region)
    last = len(transformer_blocks(reference.model)) - 1
    block = _block(reference, settings)
    sixteen_bit = reference.model.dtype != torch.float32
    parts = _in_use(reference, region, settings, block, found, witness)
    receipts: list[StageReceipt | None] = []
    if measure.method is not None:
        signed = measure.method.signed
        roles = dict(zip(region.settings.roles, witness.measured, strict=True))
        receipts.append(scores.signs_as_defined(parts) if signed else scores.not_negative(roles))
    if parts:
        receipts.append(scores.as_defined(parts, f"block {block + 1} of {last + 1}", sixteen_bit))
        if isinstance(found, SelectedWeights):
            by_role = {part.role: part.plain for part in parts}
            receipts.append(
                scores.ranked_as_asked(found.masks, by_role, settings.comparison_group == "row", region.of_least)
            )
        if settings.schedule == "one_shot" and measure.method is not None:
            glimpses = _glimpses(reference, region, settings, last + 1, witness)
            receipts.append(scores.of_every_block(glimpses, measure.method.smallest_likeness))
        if block != last and not sixteen_bit and measure.uses_data:
            behind = _in_use(reference, region, settings, last, found, witness)
            receipts.append(scores.not_one_shot(behind, f"block {last + 1} of {last + 1}"))
    return [receipt for receipt in receipts if receipt is not None]


def _glimpses(
    reference: Reference, region: regions.Region, settings: AttributionSettings, blocks: int, witness: Witness
) -> list[list[scores.Glimpse]]:
    """Of every block, how its scores in use rank weights beside scores of a few samples."""
    found = []
    for block in range(blocks):
        seen = []
        for (role, name), in_use in zip(_sets_in_use(region), witness.measured, strict=True):
            few = reference.glimpse(measure_of(region).name, name, region.seed, settings, block) or {}
            seen += [
                scores.glimpse(layer, role, glimpsed_rows(in_use[layer]).cpu(), rows)
                for layer, rows in few.items()
                if layer in in_use
            ]
        found.append(seen)
    return found


def _declared(reference: Reference, region: regions.Region) -> AttributionSettings:
    """The settings that the spec gives a region, read once more."""
    return region.attribution(AttributionSettings(**reference.spec.attribution.model_dump()))


def _sets_in_use(region: regions.Region) -> list[tuple[str, str | None]]:
    """(role, calibration set) of what a region is found from; None of a method that looks at no data."""
    uses_data = measure_of(region).uses_data
    return [(role, name if uses_data else None) for role, name in region.settings.sets_by_role.items()]


def _in_use(
    reference: Reference,
    region: regions.Region,
    settings: AttributionSettings,
    block: int,
    found: FoundRegion,
    witness: Witness,
) -> list[scores.ScoresInUse]:
    """What the region was selected from beside its plain definition, of one block; nothing where there is none."""
    measure, scored_by = measure_of(region).name, measure_of(region).method
    of_sums = scored_by is not None and scored_by.weight_times_sum
    seed = region.seed
    parts = []
    for (role, name), in_use in zip(_sets_in_use(region), witness.measured, strict=True):
        plain = reference.measured(measure, name, seed, settings, block)
        if plain is None:
            return []
        size = {layer: reference.model.get_parameter(f"{layer}.weight").detach().abs() for layer in plain}
        parts.append(
            scores.ScoresInUse(
                role=role,
                described=f"{measure} on {name}" if name else measure,
                in_use={layer: in_use[layer] for layer in plain if layer in in_use},
                plain=plain,
                mistakes=_mistakes(reference, measure, name, seed, settings, block, found),
                magnitudes=size if of_sums else None,
                samples=len(reference.samples(name, seed).sequences) if name else 1,
            )
        )
    return parts


def _mistakes(
    reference: Reference,
    measure: str,
    name: str | None,
    seed: int | None,
    settings: AttributionSettings,
    block: int,
    found: FoundRegion,
) -> Mapping[str, Callable[[], Mapping[str, Tensor] | None]]:
    """Known mistakes, in words, each with the scores that it would give. None is computed before it is asked for."""

    def otherwise(**changes: object) -> Callable[[], Mapping[str, Tensor] | None]:
        asked: dict[str, Any] = {"measure": measure, "name": name, "seed": seed, "settings": settings, **changes}
        return lambda: reference.measured(**asked, block=block)

    def negated() -> Mapping[str, Tensor]:
        plain = reference.measured(measure, name, seed, settings, block) or {}
        return {layer: -score for layer, score in plain.items()}

    mistakes: dict[str, Callable[[], Mapping[str, Tensor] | None]] = {"they have the opposite sign": negated}
    if name is None:
        return mistakes
    for other in reference.spec.calibration:
        if other != name:
            mistakes[f"they are those of {other}"] = otherwise(name=other)
    mistakes["the blocks before it had been pruned already, as when scoring and pruning in one sweep"] = lambda: (
        _behind_removed_blocks(reference, measure, name, seed, settings, block, found)
    )
    if measure == GRAM:
        positions = {"activation_positions": _OTHER[settings.activation_positions]}
        shifted = otherwise(settings=settings.model_copy(update=positions))
        return {**mistakes, "activations were taken one position off": shifted}
    own = method(measure)
    return {
        **mistakes,
        **own.mistakes(reference.block(block, name, seed), settings, seed or 0),
        **{
            f"they are those of the method {other}": otherwise(measure=other)
            for other in plugins.shipped_names("attribution")
            if other != own.name
        },
    }


_OTHER = {"response": "predicting", "predicting": "response"}


def _behind_removed_blocks(
    reference: Reference,
    measure: str,
    name: str,
    seed: int | None,
    settings: AttributionSettings,
    block: int,
    found: FoundRegion,
) -> Mapping[str, Tensor] | None:
    """What a block would be measured as if the region had been removed from the blocks before it."""
    earlier = {layer for index in range(block) for layer in block_layers(reference.model, index)}
    part: FoundRegion
    if isinstance(found, SelectedWeights):
        part = SelectedWeights({layer: mask for layer, mask in found.masks.items() if layer in earlier})
    else:
        part = SelectedRanks({layer: factors for layer, factors in found.factors.items() if layer in earlier})
    removed = remove_region(reference.model, part)
    try:
        return reference.measured_now(measure, name, seed, settings, block)
    finally:
        restore_region(reference.model, part, removed)


def _look(
    reference: Reference, bound: BoundBenchmark, finder: RegionFinder, region: regions.Region, witness: Witness
) -> regions.Look:
    """What the receipts of a region's masks or ranks look at."""
    settings, path = _declared(reference, region), bound.planted_path
    return regions.Look(
        model=reference.model,
        layers=linear_layers(reference.model),
        block=block_layers(reference.model, _block(reference, settings)),
        attribution=settings,
        measured=witness.measured,
        masks=finder.masks,
        planted=None if path is None else lambda: read_masks(path),
    )
