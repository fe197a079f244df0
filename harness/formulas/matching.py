"""A random control that is matched in magnitude to a region of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.errors import UserError


def matched_random_mask(weight: Tensor, mask: Tensor, window: int, generator: torch.Generator) -> Tensor:
    """For each weight of the mask another one of like |w| outside it, each taken once.

    weight: (d_out, d_in). mask: (d_out, d_in) bool, at most half of it True. Returns (d_out, d_in) bool on the CPU
    with as many True. The weights outside are sorted by |w|; a weight of the mask stands at some place among them,
    and takes the one at most `window` places away, uniformly drawn. Where two draw the same, or one draws beyond
    the end, the next free place is taken. Raises UserError if fewer weights are outside the mask than in it.
    """
    magnitudes, chosen = weight.abs().float().cpu().flatten(), mask.cpu().flatten()
    inside, outside = chosen.nonzero().squeeze(1), (~chosen).nonzero().squeeze(1)
    if len(inside) > len(outside):
        raise UserError(
            f"a region holds {len(inside)} of the {mask.numel()} weights of a layer; a control that is "
            "matched to it needs as many outside: give a share of at most half"
        )
    by_size = outside[magnitudes[outside].argsort(stable=True)]
    places = torch.searchsorted(magnitudes[by_size].contiguous(), magnitudes[inside])
    offsets = torch.randint(-window, window + 1, places.shape, generator=generator)
    result = torch.zeros_like(chosen)
    result[by_size[_distinct((places + offsets).clamp(min=0), len(outside))]] = True
    return result.reshape(mask.shape)


def _distinct(places: Tensor, available: int) -> Tensor:
    """Places from 0 to available − 1, each once: in growing order, every place that is taken moves up by one.

    With k added back, the running maximum of (k-th smallest place − k) grows by at least 1 from each to the next.
    """
    if not len(places):
        return places
    order = torch.arange(len(places))
    lifted = (places.sort().values - order).cummax(dim=0).values.clamp(max=available - len(places))
    return lifted + order
