"""Random weights as large as those of another region: a control for the size of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.region import RegionSettings, Selected


class Settings(RegionSettings):
    """For each weight of another region a random one of like magnitude, in the same layer and outside the region.

    It is drawn with `seed` among the 2 * window + 1 weights outside the region whose |w| is nearest in rank; the
    next one is taken where several weights draw the same. What a region owes to the size of its weights alone, this
    one has too.
    """

    select: Literal["matched-random"]
    of: Annotated[RegionSettings, Selected(lambda kind: not kind.of_ranks and kind is not Settings)]
    window: int = Field(default=32, gt=0)
    seed: int = Field(default=0, ge=0)

    @property
    def parts(self) -> Mapping[str, RegionSettings]:
        """The region that it is matched to."""
        return {"of": self.of}
