"""How two sets of weights overlap."""

from __future__ import annotations

from dataclasses import dataclass

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
