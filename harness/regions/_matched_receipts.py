"""Weights that are matched to a region, found a second time in numpy, of some layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.formulas.draws import seeded

#: Weights of all layers that are looked at; the first layer always is. Sorting a hundred million takes ten seconds.
MOST_WEIGHTS = 1e8


def plain_matches(settings: Any, drawn: Mapping[str, nn.Linear], of: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks of the first layers that hold weights of the other region. drawn: all, in the order of looking.

    Outside the region weights stand in the order of their size. One of the region looks up its own place there, goes
    as many places on as the seed says, and takes that one, or the next that is free.
    """
    found: dict[str, Tensor] = {}
    left = MOST_WEIGHTS
    for name, layer in drawn.items():
        if name not in of or (found and layer.weight.numel() > left):
            continue
        left -= layer.weight.numel()
        found[name] = _of_layer(settings, name, layer.weight, of[name])
    return found


def _of_layer(settings: Any, name: str, weight: Tensor, of: Tensor) -> Tensor:
    size = np.abs(weight.detach().float().cpu().numpy().reshape(-1))
    region = of.cpu().numpy().reshape(-1)
    outside = np.flatnonzero(~region)
    outside = outside[np.argsort(size[outside], kind="stable")]
    places = np.searchsorted(size[outside], size[region], side="left")
    window = settings.window
    steps = torch.randint(-window, window + 1, places.shape, generator=seeded(settings.seed, f"matched {name}")).numpy()
    wanted = np.sort(np.maximum(places + steps, 0)) - np.arange(len(places))
    free = np.minimum(np.maximum.accumulate(wanted), len(outside) - len(places)) + np.arange(len(places))
    mask = np.zeros(len(region), dtype=bool)
    mask[outside[free]] = True
    return torch.from_numpy(mask.reshape(tuple(weight.shape)))
