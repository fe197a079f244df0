"""The most or the least important ranks of a layer's outputs on some data: ActSVD (section 2.1)."""

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
    """The `rank` directions at the `end` of W X_in on `data` (section 2.1): top, or the least of R."""

    roles: ClassVar[tuple[str, ...]] = ("data",)
    rank_keys: ClassVar[tuple[str, ...]] = ("rank",)

    select: Literal["act-svd"]
    data: str
    rank: int = Field(gt=0)
    end: Literal["top", "bottom"] = "top"


class Region(RankRegion):
    """See `Settings`."""

    spectra: ClassVar[int] = 1
    edit_options: ClassVar[EditOptions | None] = EditOptions({"gram": "data"}, ("rank",), ("end", "of_directions"))

    def factors(self, weight: Tensor, grams: Sequence[Tensor], ranks: Mapping[str, int]) -> LowRankFactors:
        """W without its part in the directions."""
        from harness.formulas.subspace import leading_directions, least_directions, removal_factors

        directions_of = leading_directions if self.settings.end == "top" else least_directions
        return removal_factors(directions_of(weight, grams[0], ranks["rank"])[0])

    def declared(self) -> str:
        """Its end and rank."""
        end = "most" if self.settings.end == "top" else "least"
        return f"the {end} important {self.settings.rank} rank(s) of its outputs"

    def least_and_most(self, directions: int) -> tuple[int, int]:
        """The rank as it is."""
        rank = self.in_layer(self.settings.rank, directions)
        return rank, rank

    def expected(
        self, spectra: Sequence[Spectrum], directions: int
    ) -> tuple[Tensor | None, Mapping[str, Tensor | None]]:
        """The one end; the other is the known mistake."""
        rank = self.in_layer(self.settings.rank, directions)
        ends = {"most": (0, rank), "least": (directions - rank, directions)}
        made = {end: spectra[0].projection(*places) for end, places in ends.items()}
        wanted = made.pop("most" if self.settings.end == "top" else "least")
        return wanted, {f"the {end} important ones": projection for end, projection in made.items()}

    def what(self) -> str:
        """Its end, rank and data."""
        settings = self.settings
        return f"the {settings.end} {settings.rank} rank(s) of every layer's outputs on {settings.data} data (ActSVD)"
