"""From scores to masks: the comparison that a spec asks for, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness.attribution.base import Scores
from harness.errors import UserError
from harness.formulas.selection import bottom_mask, set_difference_mask, top_mask
from harness.regions._scored import ScoredSettings
from harness.regions.bottom import Settings as BottomRegion
from harness.regions.set_difference import Settings as SetDifferenceRegion
from harness.regions.top import Settings as TopRegion
from harness.spec.region import AttributionSettings

Masks = dict[str, Tensor]


def select(
    region: ScoredSettings, settings: AttributionSettings, scores: Sequence[Scores], devices: Mapping[str, torch.device]
) -> Masks:
    """Masks by layer, on the CPU. scores: of the data, or of safety and utility, in this order.

    devices: where each layer's scores are compared, one layer at a time: a GPU sorts seven billion faster.
    """
    group = settings.comparison_group
    masks: Masks = {}
    for name in scores[0]:
        here = [score[name].to(devices[name]) for score in scores]
        if isinstance(region, SetDifferenceRegion):
            safety, utility = here
            mask = set_difference_mask(utility, safety, region.p, region.q, group)
        elif isinstance(region, TopRegion):
            mask = top_mask(here[0], region.fraction, group)
        elif isinstance(region, BottomRegion):
            mask = bottom_mask(here[0], region.fraction, group)
        else:
            raise UserError(f"no selection is written for {type(region).__name__}")
        masks[name] = mask.cpu()
    return masks
