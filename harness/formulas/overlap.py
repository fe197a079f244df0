"""How two sets of weights overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Overlap:
    """Counts of two masks: `first`, `second` and `both`."""

    first: int
    second: int
    both: int

    def __add__(self, other: Overlap) -> Overlap:
        """Counts of two disjoint places, such as two layers, together."""
        return Overlap(self.first + other.first, self.second + other.second, self.both + other.both)

    @property
    def union(self) -> int:
        """|first ∪ second|."""
        return self.first + self.second - self.both

    @property
    def jaccard(self) -> float | None:
        """|first ∩ second| / |first ∪ second|, from 0 (disjoint) to 1 (equal); None if both are empty.

        Source: Wei et al. 2024, section 4.3.
        """
        return self.both / self.union if self.union else None

    @property
    def overlap_share(self) -> float | None:
        """|first ∩ second| / |first|, the reproduction report's overlap percentage as a fraction.

        None if the first is empty. The same number as `precision`, of two regions neither of which is the truth.
        """
        return self.precision

    @property
    def precision(self) -> float | None:
        """|first ∩ second| / |first|; None if the first is empty."""
        return self.both / self.first if self.first else None

    @property
    def recall(self) -> float | None:
        """|first ∩ second| / |second|; None if the second is empty."""
        return self.both / self.second if self.second else None


def overlap(first: Tensor, second: Tensor) -> Overlap:
    """Count two bool masks of one shape, and their intersection."""
    return Overlap(int(first.sum()), int(second.sum()), int((first & second).sum()))


def overlap_by_layer(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Overlap]:
    """Counts for every layer that either region names; a region has no weights in a layer that it does not name.

    first, second: bool masks (d_out, d_in) by layer. Layers come in the order of the first, then of the second.
    """
    counts: dict[str, Overlap] = {}
    for name, shaped_like in {**first, **second}.items():
        nothing = torch.zeros_like(shaped_like)
        counts[name] = overlap(first.get(name, nothing), second.get(name, nothing))
    return counts
