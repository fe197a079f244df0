"""Random weights as large as those of another region: a control for the size of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from harness.regions import base
from harness.spec.receipt import StageReceipt
from harness.spec.region import RegionSettings, Selected
from harness.spec.variant import ModelVariant

if TYPE_CHECKING:
    from harness.models.editing import FoundRegion


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


class Region(base.Region):
    """See `Settings`."""

    def problems(self, variant: ModelVariant) -> list[str]:
        """Those of the region that it is matched to."""
        return base.region(self.settings.of).problems(variant)

    @property
    def largest_share(self) -> float | None:
        """That of the region that it is matched to."""
        return base.region(self.settings.of).largest_share

    def find(self, finder: base.Finder, witness: base.Witness | None) -> FoundRegion:
        """Weights of like magnitude in every layer; the draw in a layer depends on the seed and its name alone."""
        from harness.formulas.draws import seeded
        from harness.formulas.matching import matched_random_mask
        from harness.models.editing import SelectedWeights
        from harness.models.layers import linear_layers

        settings, layers, masks = self.settings, linear_layers(finder.model), finder.masks(self.settings.of)
        draws = {name: seeded(settings.seed, f"matched {name}") for name in masks}
        return SelectedWeights(
            {
                name: matched_random_mask(layers[name].weight.detach(), mask, settings.window, draws[name])
                for name, mask in masks.items()
            }
        )

    def receipts(self, found: FoundRegion, look: base.Look) -> list[StageReceipt]:
        """As large as the other region in every layer, apart from it, and in drawn layers weight for weight."""
        from harness.models.editing import SelectedWeights
        from harness.regions._mask_receipts import as_large_and_apart, as_made_again
        from harness.regions._matched_receipts import plain_matches

        receipts = super().receipts(found, look)
        if isinstance(found, SelectedWeights):
            of = look.masks(self.settings.of)
            receipts.append(as_large_and_apart(found.masks, of))
            plain = plain_matches(self.settings, look.drawn, of)
            receipts.append(as_made_again({name: found.masks[name] for name in plain if name in found.masks}, plain))
        return receipts

    def words(self, spec: Mapping[str, Any]) -> str:
        """What it is matched to."""
        other = base.region(self.settings.of).words(spec)
        return f"random weights as large as those of another region, which is {other}"
