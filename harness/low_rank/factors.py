"""From Gram matrices to the low-rank parts of the weights that a region of ranks removes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.formulas.subspace import (
    LowRankFactors,
    direction_count,
    leading_directions,
    least_directions,
    projection_factors,
    removal_factors,
)
from harness.low_rank.grams import Grams
from harness.regions._ranks import RankSettings
from harness.regions.act_svd import Settings as ActSvdRegion
from harness.regions.orthogonal_projection import Settings as OrthogonalProjectionRegion


@torch.no_grad()
def low_rank_factors(
    region: RankSettings, layers: Mapping[str, nn.Linear], grams: Sequence[Grams]
) -> dict[str, LowRankFactors]:
    """Factors of ΔW by layer, on the CPU.

    grams: of the data, or of safety and utility, in that order. Raises UserError where a layer has
    fewer directions than the region removes.
    """
    return {
        name: _of_layer(region, name, layer.weight, [gram[name].to(layer.weight.device) for gram in grams])
        for name, layer in layers.items()
    }


def ranks_in_layer(region: RankSettings, name: str, weight: Tensor) -> dict[str, int]:
    """{key of the region: ranks} of one layer. Raises UserError where the layer has fewer directions."""
    limit = direction_count(weight)
    if isinstance(region, ActSvdRegion):
        ranks = {"rank": region.rank_in_layer(region.rank, limit)}
    elif isinstance(region, OrthogonalProjectionRegion):
        ranks = {
            key: region.removed_in_layer(getattr(region, key), limit)
            for key in ("utility_rank_removed", "safety_rank_removed")
        }
    else:
        raise UserError(f"no low-rank edit is written for {type(region).__name__}")
    for key, rank in ranks.items():
        if rank > limit:
            raise UserError(
                f"{key} is {rank}, but {name} is {weight.shape[0]} x {weight.shape[1]} and has {limit} directions; "
                f"expected at most {limit}, or of_directions: the R that the ranks are written for"
            )
    return ranks


def _of_layer(region: RankSettings, name: str, weight: Tensor, grams: Sequence[Tensor]) -> LowRankFactors:
    ranks = ranks_in_layer(region, name, weight)
    if isinstance(region, ActSvdRegion):
        directions_of = leading_directions if region.end == "top" else least_directions
        factors = removal_factors(directions_of(weight, grams[0], ranks["rank"])[0])
    else:
        safety, utility = grams
        factors = projection_factors(weight, safety, utility, **ranks)
    return LowRankFactors(factors.left.cpu(), factors.right.cpu())
