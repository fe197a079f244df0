"""What the regions share that are ranks of the layers' outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from harness.errors import UserError
from harness.regions._measured import MeasuredRegion
from harness.regions.base import Grams, Look
from harness.spec.receipt import StageReceipt
from harness.spec.region import AttributionSettings, RegionSettings, Schedule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.formulas.subspace import LowRankFactors
    from harness.models.editing import FoundRegion
    from harness.regions._rank_receipts import Spectrum


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


class RankRegion(MeasuredRegion):
    """Ranks that are computed layer by layer from Gram matrices of its inputs."""

    @property
    def measure(self) -> Grams:
        """Gram matrices."""
        return Grams()

    def ranks(self, name: str, weight: Tensor) -> dict[str, int]:
        """{key of the settings: ranks} of one layer. Raises UserError where the layer has fewer directions."""
        from harness.formulas.subspace import direction_count

        limit = direction_count(weight)
        ranks = {key: self.in_layer(getattr(self.settings, key), limit) for key in self.settings.rank_keys}
        for key, rank in ranks.items():
            if rank > limit:
                raise UserError(
                    f"{key} is {rank}, but {name} is {weight.shape[0]} x {weight.shape[1]} and has {limit} directions; "
                    f"expected at most {limit}, or of_directions: the R that the ranks are written for"
                )
        return ranks

    def in_layer(self, rank: int, directions: int) -> int:
        """What a rank of the settings comes to in a layer with so many `directions`."""
        return self.settings.rank_in_layer(rank, directions)

    def refuse_unfit(self, layers: Mapping[str, nn.Linear], defaults: AttributionSettings) -> None:
        """Layers with fewer directions than are removed."""
        for name, layer in layers.items():
            self.ranks(name, layer.weight)

    def factors(self, weight: Tensor, grams: Sequence[Tensor], ranks: Mapping[str, int]) -> LowRankFactors:
        """Of ΔW of one layer. grams: by role."""
        raise NotImplementedError(f"the region {self.settings.select} defines no `factors`")

    def declared(self) -> str:
        """In words, what is taken out of every layer."""
        raise NotImplementedError(f"the region {self.settings.select} defines no `declared`")

    def least_and_most(self, directions: int) -> tuple[int, int]:
        """How many ranks of a layer with so many `directions` are taken out at least and at most."""
        return 0, directions

    def expected(
        self, spectra: Sequence[Spectrum], directions: int
    ) -> tuple[Tensor | None, Mapping[str, Tensor | None]]:
        """What `factors` take out of the outputs of a layer, and by their words what known mistakes would.

        spectra: by role. None where equal directions make it arbitrary.
        """
        raise NotImplementedError(f"the region {self.settings.select} defines no `expected`")

    def selected(
        self,
        attribution: AttributionSettings,
        layers: Mapping[str, nn.Linear],
        measured: Sequence[Mapping[str, Tensor]],
    ) -> FoundRegion:
        """Factors of ΔW by layer, on the CPU."""
        import torch

        from harness.formulas.subspace import LowRankFactors
        from harness.models.editing import SelectedRanks

        found = {}
        with torch.no_grad():
            for name, layer in layers.items():
                grams = [gram[name].to(layer.weight.device) for gram in measured]
                factors = self.factors(layer.weight, grams, self.ranks(name, layer.weight))
                found[name] = LowRankFactors(factors.left.cpu(), factors.right.cpu())
        return SelectedRanks(found)

    def receipts(self, found: FoundRegion, look: Look) -> list[StageReceipt]:
        """What is taken out, of some layers formed again."""
        from harness.models.editing import SelectedRanks
        from harness.regions._rank_receipts import removed_as_declared

        if not isinstance(found, SelectedRanks):
            return []
        return [removed_as_declared(self, found.factors, look.drawn, look.measured)]
