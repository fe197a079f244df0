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
from harness.spec.region import ActSvdRegion, OrthogonalProjectionRegion, SubspaceRegion
from harness.subspaces.grams import Grams


@torch.no_grad()
def low_rank_factors(
    region: SubspaceRegion, layers: Mapping[str, nn.Linear], grams: Sequence[Grams]
) -> dict[str, LowRankFactors]:
    """Factors of ΔW by layer, on the CPU.

    grams: of the data, or of safety and utility, in that order. Raises UserError where a layer has
    fewer directions than the region removes.
    """
    return {
        name: _of_layer(region, name, layer.weight, [gram[name].to(layer.weight.device) for gram in grams])
        for name, layer in layers.items()
    }


def _of_layer(region: SubspaceRegion, name: str, weight: Tensor, grams: Sequence[Tensor]) -> LowRankFactors:
    if isinstance(region, ActSvdRegion):
        rank = region.rank_in_layer(region.rank, direction_count(weight))
        _refuse_rank("rank", rank, name, weight)
        directions_of = leading_directions if region.end == "top" else least_directions
        factors = removal_factors(directions_of(weight, grams[0], rank)[0])
    elif isinstance(region, OrthogonalProjectionRegion):
        removed = {key: region.removed_in_layer(getattr(region, key), direction_count(weight))
                   for key in ("utility_rank_removed", "safety_rank_removed")}  # fmt: skip
        for key, rank in removed.items():
            _refuse_rank(key, rank, name, weight)
        safety, utility = grams
        factors = projection_factors(weight, safety, utility, **removed)
    else:
        raise UserError(f"no low-rank edit is written for {type(region).__name__}")
    return LowRankFactors(factors.left.cpu(), factors.right.cpu())


def _refuse_rank(key: str, rank: int, name: str, weight: Tensor) -> None:
    limit = direction_count(weight)
    if rank > limit:
        raise UserError(
            f"{key} is {rank}, but {name} is {weight.shape[0]} x {weight.shape[1]} and has {limit} directions; "
            f"expected at most {limit}, or of_directions"
        )
