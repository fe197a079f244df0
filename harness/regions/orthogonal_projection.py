"""The safety ranks of a layer's outputs that lie outside of its utility ranks (section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.regions._ranks import RankRegion, RankSettings
from harness.regions.base import EditOptions

if TYPE_CHECKING:
    from torch import Tensor

    from harness.formulas.subspace import LowRankFactors
    from harness.regions._rank_receipts import Spectrum


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


class Region(RankRegion):
    """See `Settings`."""

    spectra: ClassVar[int] = 2
    edit_options: ClassVar[EditOptions | None] = EditOptions(
        {"safety": "safety", "utility": "utility"}, ("utility_rank_removed", "safety_rank_removed"), ("of_directions",)
    )

    def in_layer(self, rank: int, directions: int) -> int:
        """r of a layer."""
        return self.settings.removed_in_layer(rank, directions)

    def factors(self, weight: Tensor, grams: Sequence[Tensor], ranks: Mapping[str, int]) -> LowRankFactors:
        """Of safety and utility, in this order."""
        from harness.formulas.subspace import projection_factors

        safety, utility = grams
        return projection_factors(weight, safety, utility, **ranks)

    def declared(self) -> str:
        """Both ranks."""
        return (
            f"all but the least {self.settings.safety_rank_removed} safety rank(s), without all but the least "
            f"{self.settings.utility_rank_removed} utility rank(s)"
        )

    def least_and_most(self, directions: int) -> tuple[int, int]:
        """At most what is left of safety; less where utility has the same directions."""
        return 0, directions - self.in_layer(self.settings.safety_rank_removed, directions)

    def expected(
        self, spectra: Sequence[Spectrum], directions: int
    ) -> tuple[Tensor | None, Mapping[str, Tensor | None]]:
        """Π_s − Π_u Π_s; known mistakes are the two swapped, with their ranks and without."""
        safety_removed = self.in_layer(self.settings.safety_rank_removed, directions)
        utility_removed = self.in_layer(self.settings.utility_rank_removed, directions)
        safety = spectra[0].projection(0, directions - safety_removed)
        utility = spectra[1].projection(0, directions - utility_removed)
        if safety is None or utility is None:
            return None, {}
        mistakes: dict[str, Tensor | None] = {
            "the parts of safety and utility swapped": utility - safety @ utility,
            "the data of safety and utility swapped": None,
        }
        first = spectra[1].projection(0, directions - safety_removed)
        second = spectra[0].projection(0, directions - utility_removed)
        if first is not None and second is not None:
            mistakes["the data of safety and utility swapped"] = first - second @ first
        return safety - utility @ safety, mistakes

    def what(self) -> str:
        """Both ranks."""
        settings = self.settings
        return (
            f"ranks by orthogonal projection (r_u {settings.utility_rank_removed}, r_s {settings.safety_rank_removed})"
        )
