"""The receipts of scores or Grams that a region was selected from, beside those by the plain definition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.models.editing import FoundRegion, SelectedWeights
from harness.models.layers import transformer_blocks
from harness.receipts import scores
from harness.receipts.reference import Reference, Wanted, subsampled_rows
from harness.receipts.score_mistakes import behind_removed_blocks, known_mistakes, mistakes_of_a_sweep
from harness.regions import base as regions
from harness.regions.base import Measure, Witness
from harness.spec.receipt import LookedAt, StageReceipt
from harness.spec.region import AttributionSettings, RegionSettings


@dataclass(frozen=True)
class RegionInUse:
    """A region as it was found for a cell, with what it was selected from. The model of the reference is intact."""

    cell: str
    reference: Reference
    region: regions.Region
    found: FoundRegion
    witness: Witness


def declared(reference: Reference, region: regions.Region) -> AttributionSettings:
    """The settings that the spec gives a region, read once more."""
    return region.attribution(AttributionSettings(**reference.spec.attribution.model_dump()))


def last_block(reference: Reference) -> int:
    """The number of the last block, from 0."""
    return len(transformer_blocks(reference.model)) - 1


def wanted(reference: Reference, region: regions.Region, name: str | None, block: int) -> Wanted:
    """What a region is found from, on a calibration set, of a block. None: of no data."""
    return Wanted(regions.measure_of(region).name, name, region.seed, declared(reference, region), block)


def score_receipts(in_use: RegionInUse) -> list[StageReceipt]:
    """All that scores, or Grams, of a region have; none of a region that is found from something else."""
    measure = in_use.region.measure
    if measure is None:
        return []
    reference, settings = in_use.reference, declared(in_use.reference, in_use.region)
    last, blocks = last_block(reference), reference.blocks_of(in_use.cell)
    sixteen_bit = reference.model.dtype != torch.float32
    parts = [part for block in blocks for part in _beside_plain(in_use, block)]
    receipts = [_sign(in_use, measure, parts)]
    if parts:
        receipts.append(scores.as_defined(parts, in_words(blocks, last), sixteen_bit, blocks_seen(reference, blocks)))
        if isinstance(in_use.found, SelectedWeights):
            by_role = {part.role: _plain_of(parts, part.role) for part in parts}
            by_row = settings.comparison_group == "row"
            receipts.append(scores.ranked_as_asked(in_use.found.masks, by_role, by_row, in_use.region.of_least))
        if settings.schedule == "one_shot" and measure.method is not None:
            every, least = _subsampled(in_use), measure.method.least_rank_correlation
            receipts.append(scores.of_every_block(every, least, _samples_seen(in_use)))
        if settings.schedule != "one_shot" and not sixteen_bit and measure.uses_data and last > 0:
            behind = _beside_plain(in_use, last, intact=True)
            receipts.append(scores.not_one_shot(behind, f"block {last + 1} of {last + 1}"))
    return [receipt for receipt in receipts if receipt is not None]


def masks_now(
    reference: Reference, settings: RegionSettings, block: int, made: dict[object, dict[str, Tensor] | None]
) -> dict[str, Tensor] | None:
    """Masks of a block that plain scores of the model as it is select, on the CPU.

    made: plain scores of the model as it is by what they depend on, added to: regions have some in common. None where
    the region is not found at once from scores, or its method has no plain definition.
    """
    region = regions.region(settings)
    attribution = declared(reference, region)
    if attribution.schedule != "one_shot":
        return None
    asked = [wanted(reference, region, name, block) for _, name in _sets_in_use(region)]
    for each in asked:
        if each.decides not in made:
            made[each.decides] = reference.measured_now(each)
    plain = [made[each.decides] for each in asked]
    scores_of = [scores_of_set for scores_of_set in plain if scores_of_set is not None]
    if len(scores_of) < len(plain):
        return None
    group, found = attribution.comparison_group, {}
    for layer in scores_of[0]:
        mask = region.plain_mask([of_set[layer].cpu().numpy() for of_set in scores_of], group)
        if mask is None:
            return None
        found[layer] = torch.from_numpy(mask)
    return found


def _plain_of(parts: Sequence[scores.ScoresInUse], role: str) -> dict[str, Tensor]:
    """Plain scores of one role, of all blocks that were compared."""
    return {layer: score for part in parts if part.role == role for layer, score in part.plain.items()}


def blocks_seen(reference: Reference, blocks: Sequence[int]) -> tuple[LookedAt, ...]:
    """How many of the blocks were measured by the plain definition."""
    return (LookedAt(what="blocks", seen=len(blocks), of=last_block(reference) + 1),)


def _samples_seen(in_use: RegionInUse) -> tuple[LookedAt, ...]:
    """How many of the samples behind scores, and of the rows of the widest layer, were looked at in every block."""
    reference, measure = in_use.reference, regions.measure_of(in_use.region)
    names = [name for _, name in _sets_in_use(in_use.region) if name is not None]
    total = sum(len(reference.samples(name, in_use.region.seed).sequences) for name in names)
    few = sum(
        min(measure.method.subsample_size, len(reference.samples(name, in_use.region.seed).sequences))
        for name in names
        if measure.method is not None
    )
    return (LookedAt(what="samples", seen=few, of=total),) if names else ()


def in_words(blocks: Sequence[int], last: int) -> str:
    """`blocks 2 and 4 of 4`; both counted from 0."""
    numbers = " and ".join(str(block + 1) for block in blocks)
    return f"block{'s' if len(blocks) > 1 else ''} {numbers} of {last + 1}"


def _sign(in_use: RegionInUse, measure: Measure, parts: list[scores.ScoresInUse]) -> StageReceipt | None:
    if measure.method is None:
        return None
    if measure.method.signed:
        return scores.signs_as_defined(parts)
    return scores.not_negative(dict(zip(in_use.region.settings.roles, in_use.witness.measured, strict=True)))


def _sets_in_use(region: regions.Region) -> Iterator[tuple[str, str | None]]:
    """(role, calibration set) of what a region is found from; None of a method that looks at no data."""
    uses_data = regions.measure_of(region).uses_data
    for role, name in region.settings.sets_by_role.items():
        yield role, name if uses_data else None


def _subsampled(in_use: RegionInUse) -> list[list[scores.SubsampledScores]]:
    """Of every block, how its scores in use rank weights beside scores of a few samples."""
    reference, region, found = in_use.reference, in_use.region, []
    for block in range(last_block(reference) + 1):
        seen = []
        for (role, name), measured in zip(_sets_in_use(region), in_use.witness.measured, strict=True):
            few = reference.of_a_subsample(wanted(reference, region, name, block), in_use.cell) or {}
            seen += [
                scores.of_a_subsample(layer, role, subsampled_rows(measured[layer]).cpu(), rows)
                for layer, rows in few.items()
                if layer in measured
            ]
        found.append(seen)
    return found


def _beside_plain(in_use: RegionInUse, block: int, intact: bool = False) -> list[scores.ScoresInUse]:
    """What the region was selected from beside its plain definition, of one block; nothing where there is none.

    intact: on the intact model, also where the spec asks for block by block.
    """
    reference, measure = in_use.reference, regions.measure_of(in_use.region)
    one_shot = intact or declared(reference, in_use.region).schedule == "one_shot" or not measure.uses_data
    of_sums = measure.method is not None and measure.method.weight_times_sum
    parts = []
    for (role, name), measured in zip(_sets_in_use(in_use.region), in_use.witness.measured, strict=True):
        asked = wanted(reference, in_use.region, name, block)
        plain = reference.measured(asked) if one_shot else behind_removed_blocks(reference, asked, in_use.found)
        if plain is None:
            return []
        size = {layer: reference.model.get_parameter(f"{layer}.weight").detach().abs() for layer in plain}
        parts.append(
            scores.ScoresInUse(
                role=role,
                described=f"{measure.name} on {name}" if name else measure.name,
                in_use={layer: measured[layer] for layer in plain if layer in measured},
                plain=plain,
                mistakes=known_mistakes(reference, asked, in_use.found)
                if one_shot
                else mistakes_of_a_sweep(reference, asked, plain),
                magnitudes=size if of_sums else None,
                samples=len(reference.samples(name, asked.seed).sequences) if name else 1,
                where=in_words([block], last_block(reference)),
            )
        )
    return parts
