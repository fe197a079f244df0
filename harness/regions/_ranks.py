"""What the regions share that are ranks of the layers' outputs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from harness.spec.region import RegionSettings, Schedule


class RankSettings(RegionSettings):
    """What all regions that are ranks of the layers' outputs declare. R is min(d_out, d_in) of a layer.

    seed: of the draw from the calibration set, in the place of the set's own.
    of_directions: R of the layers for which the ranks are written. A layer with R' directions, as k and v have
    with grouped-query attention, gets R'/R of the ranks. Without it every layer gets them as they are written,
    and one that has fewer is an error.
    rank_keys: the keys that hold ranks.
    """

    of_ranks: ClassVar[bool] = True
    rank_keys: ClassVar[tuple[str, ...]] = ()

    schedule: Schedule | None = None
    seed: int | None = Field(default=None, ge=0)
    of_directions: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def ranks_are_among_the_directions(self) -> RankSettings:
        """What is kept of R cannot be less than nothing."""
        largest = max((getattr(self, key) for key in self.rank_keys), default=0)
        if self.of_directions is not None and largest > self.of_directions:
            raise ValueError(f"{largest} ranks are removed; expected at most of_directions, {self.of_directions}")
        return self

    def rank_in_layer(self, rank: int, directions: int) -> int:
        """How many of its R' `directions` a layer has in a rank that is written for R; of some at least one."""
        if self.of_directions is None or rank == 0:
            return rank
        return max(1, round(rank * directions / self.of_directions))
