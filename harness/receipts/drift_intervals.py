"""Intervals of medians and trimmed means of a group's change, a second time: exact ones of every replicate, in numpy.

Those in use are found among bins of equal count; each has to lie as near to the exact one as a bin allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Bins in use; values times replicates that are looked at, beyond which no interval is; values that are held at once.
BINS, LARGEST, PART = 2048, 10**8, 5 * 10**6
_TRIMMED = 0.01
STATISTICS = ("median", "trimmed_mean")


@dataclass(frozen=True)
class Replicates:
    """Of every replicate, (B,), the least and the most that a statistic can be."""

    least: Array
    most: Array

    def over(self, other: Replicates) -> Replicates:
        """Of the ratio of two, paired."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return Replicates(self.least / other.most, self.most / other.least)

    def holds(self, interval: tuple[float, float] | None, share: float) -> bool:
        """Whether percentiles 2.5 and 97.5 lie in between, but for a share of themselves; there is none where nothing
        was drawn once. What is divided by next to 0 can be anything.
        """
        if np.isnan(self.least).any():
            return interval is None
        if not (np.isfinite(self.least).all() and np.isfinite(self.most).all()):
            return True
        bounds = [(np.percentile(self.least, q), np.percentile(self.most, q)) for q in (2.5, 97.5)]
        return interval is not None and all(
            low - share * abs(low) <= found <= high + share * abs(high)
            for found, (low, high) in zip(interval, bounds, strict=True)
        )


def drawn_layers(layers: int, replicates: int, seed: int) -> Array:
    """(B, L): how often each layer is drawn, L times with replacement, by torch's generator with the seed."""
    drawn = torch.randint(layers, (replicates, layers), generator=torch.Generator().manual_seed(seed)).numpy()
    return np.stack([np.bincount(row, minlength=layers) for row in drawn]).astype(np.float64)


def replicates_of(values: Array, layer: NDArray[np.int64], drawn: Array) -> Iterator[tuple[str, Replicates]]:
    """By statistic. values: (n,). layer: (n,) of each its layer. drawn: (B, L)."""
    order = np.argsort(values, kind="stable")
    ordered, own = values[order], layer[order]
    found: dict[str, list[tuple[Array, Array]]] = {name: [] for name in STATISTICS}
    for first in range(0, len(drawn), max(1, PART // len(values))):
        counts = drawn[first : first + max(1, PART // len(values))][:, own]  # (b, n)
        found["median"].append(_medians(ordered, counts))
        found["trimmed_mean"].append(_trimmed_means(ordered, counts))
    for name, parts in found.items():
        yield name, Replicates(*(np.concatenate(side) for side in zip(*parts, strict=True)))


def _around(ordered: Array, place: NDArray[np.int64]) -> tuple[Array, Array]:
    """The values that stand a bin below and above a place."""
    last, size = len(ordered) - 1, -(-len(ordered) // min(len(ordered), BINS))
    return ordered[np.clip(place - size, 0, last)], ordered[np.clip(place + size, 0, last)]


def _medians(ordered: Array, counts: Array) -> tuple[Array, Array]:
    reached = np.cumsum(counts, axis=1)
    low, high = _around(ordered, (reached < reached[:, -1:] / 2).sum(axis=1))
    nothing = reached[:, -1] == 0
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


def _trimmed_means(ordered: Array, counts: Array) -> tuple[Array, Array]:
    """Sums of the smallest that are left, over their number; in the last bin only what it holds together is known."""
    reached = np.cumsum(counts, axis=1)
    wanted = reached[:, -1] - np.floor(_TRIMMED * reached[:, -1])
    left = np.clip(wanted[:, None] - (reached - counts), 0, counts)
    with np.errstate(invalid="ignore"):
        mean = (left @ ordered) / wanted
    place = (reached < wanted[:, None]).sum(axis=1)
    low, high = _around(ordered, place)
    size = -(-len(ordered) // min(len(ordered), BINS))
    with np.errstate(invalid="ignore"):
        unknown = (high - low) * size * counts.max(axis=1) / wanted
    return mean - unknown, mean + unknown
