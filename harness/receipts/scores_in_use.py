"""The receipts of scores or Grams that a region was selected from, beside those by the plain definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from harness.models.editing import FoundRegion, SelectedWeights
from harness.models.layers import transformer_blocks
from harness.receipts import scores
from harness.receipts.reference import Reference, Wanted, subsampled_rows
from harness.receipts.score_mistakes import known_mistakes
from harness.regions import base as regions
from harness.regions.base import Measure, Witness
from harness.spec.receipt import StageReceipt
from harness.spec.region import AttributionSettings


@dataclass(frozen=True)
class RegionInUse:
    """A region as it was found, with what it was selected from. The model of the reference is intact."""

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


def block_of(reference: Reference, settings: AttributionSettings) -> int:
    """The block whose scores are compared: the last one, or the first where those behind it are not of this model."""
    return last_block(reference) if settings.schedule == "one_shot" else 0


def wanted(reference: Reference, region: regions.Region, name: str | None) -> Wanted:
    """What a region is found from, on a calibration set, of the block that is compared. None: of no data."""
    settings = declared(reference, region)
    return Wanted(regions.measure_of(region).name, name, region.seed, settings, block_of(reference, settings))


def score_receipts(in_use: RegionInUse) -> list[StageReceipt]:
    """All that scores, or Grams, of a region have; none of a region that is found from something else."""
    measure = in_use.region.measure
    if measure is None:
        return []
    reference, settings = in_use.reference, declared(in_use.reference, in_use.region)
    last, block = last_block(reference), block_of(reference, settings)
    sixteen_bit = reference.model.dtype != torch.float32
    parts = _beside_plain(in_use, block)
    receipts = [_sign(in_use, measure, parts)]
    if parts:
        receipts.append(scores.as_defined(parts, f"block {block + 1} of {last + 1}", sixteen_bit))
        if isinstance(in_use.found, SelectedWeights):
            by_role, by_row = {part.role: part.plain for part in parts}, settings.comparison_group == "row"
            receipts.append(scores.ranked_as_asked(in_use.found.masks, by_role, by_row, in_use.region.of_least))
        if settings.schedule == "one_shot" and measure.method is not None:
            receipts.append(scores.of_every_block(_subsampled(in_use), measure.method.least_rank_correlation))
        if block != last and not sixteen_bit and measure.uses_data:
            behind = _beside_plain(in_use, last)
            receipts.append(scores.not_one_shot(behind, f"block {last + 1} of {last + 1}"))
    return [receipt for receipt in receipts if receipt is not None]


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
            few = reference.of_a_subsample(replace(wanted(reference, region, name), block=block)) or {}
            seen += [
                scores.of_a_subsample(layer, role, subsampled_rows(measured[layer]).cpu(), rows)
                for layer, rows in few.items()
                if layer in measured
            ]
        found.append(seen)
    return found


def _beside_plain(in_use: RegionInUse, block: int) -> list[scores.ScoresInUse]:
    """What the region was selected from beside its plain definition, of one block; nothing where there is none."""
    reference, measure = in_use.reference, regions.measure_of(in_use.region)
    of_sums = measure.method is not None and measure.method.weight_times_sum
    parts = []
    for (role, name), measured in zip(_sets_in_use(in_use.region), in_use.witness.measured, strict=True):
        asked = replace(wanted(reference, in_use.region, name), block=block)
        plain = reference.measured(asked)
        if plain is None:
            return []
        size = {layer: reference.model.get_parameter(f"{layer}.weight").detach().abs() for layer in plain}
        parts.append(
            scores.ScoresInUse(
                role=role,
                described=f"{measure.name} on {name}" if name else measure.name,
                in_use={layer: measured[layer] for layer in plain if layer in measured},
                plain=plain,
                mistakes=known_mistakes(reference, asked, in_use.found),
                magnitudes=size if of_sums else None,
                samples=len(reference.samples(name, asked.seed).sequences) if name else 1,
            )
        )
    return parts
