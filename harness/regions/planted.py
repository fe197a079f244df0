"""The planted region of a model organism, as its file has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import UserError
from harness.regions import base
from harness.spec.receipt import StageReceipt
from harness.spec.region import RegionSettings
from harness.spec.variant import ModelVariant

if TYPE_CHECKING:
    from harness.models.editing import FoundRegion


class Settings(RegionSettings):
    """The weights that are known to carry the safety of a model organism."""

    is_planted: ClassVar[bool] = True

    select: Literal["planted"]


class Region(base.Region):
    """See `Settings`. The file may hold any share of the weights."""

    largest_share = 1.0

    def problems(self, variant: ModelVariant) -> list[str]:
        """Of a variant whose planted region nobody knows."""
        return [] if variant.planted_region is not None else [f"the variant {variant.name} has no planted region"]

    def find(self, finder: base.Finder, witness: base.Witness | None) -> FoundRegion:
        """From the variant's file."""
        from harness.models.editing import SelectedWeights

        if finder.planted is None:
            raise UserError("this variant has no planted region")
        return SelectedWeights(finder.planted)

    def receipts(self, found: FoundRegion, look: base.Look) -> list[StageReceipt]:
        """The file, read again."""
        from harness.models.editing import SelectedWeights
        from harness.regions._mask_receipts import as_in_the_file

        receipts = super().receipts(found, look)
        if look.planted is not None and isinstance(found, SelectedWeights):
            receipts.append(as_in_the_file(found.masks, look.planted()))
        return receipts

    def words(self, spec: Mapping[str, Any]) -> str:
        """What it is known for."""
        return "the planted region, which is known to carry the refusals"
