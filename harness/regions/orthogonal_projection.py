"""The safety ranks of a layer's outputs that lie outside of its utility ranks (section 2.2)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.regions._ranks import RankSettings


class Settings(RankSettings):
    """ΔW = (I − Π_u) Π_s W (section 2.2).

    Π_u is on the top R − utility_rank_removed (r_u) utility directions, Π_s on the top
    R − safety_rank_removed (r_s) safety directions.
    """

    roles: ClassVar[tuple[str, ...]] = ("safety", "utility")
    rank_keys: ClassVar[tuple[str, ...]] = ("utility_rank_removed", "safety_rank_removed")

    select: Literal["orthogonal-projection"]
    safety: str
    utility: str
    utility_rank_removed: int = Field(ge=0)
    safety_rank_removed: int = Field(ge=0)

    def removed_in_layer(self, removed: int, directions: int) -> int:
        """r of a layer with R' `directions`: R' less what R − `removed` comes to there."""
        if self.of_directions is None:
            return removed
        return directions - self.rank_in_layer(self.of_directions - removed, directions)
