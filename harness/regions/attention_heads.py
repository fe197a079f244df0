"""Whole attention heads, chosen by probes of their outputs (section 4.1, appendix C.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from harness.regions import base
from harness.spec.common import Share
from harness.spec.probing import ProbeSettings
from harness.spec.receipt import StageReceipt
from harness.spec.region import RegionSettings

if TYPE_CHECKING:
    from torch import Tensor

    from harness.models.editing import FoundRegion


class Settings(ProbeSettings, RegionSettings):
    """The attention heads whose probes tell harmful from harmless prompts best, all their weights.

    fraction: of all heads of the model; max(1, round(fraction * heads)) are removed.
    """

    select: Literal["attention-heads"]
    fraction: Share

    @property
    def probe(self) -> ProbeSettings:
        """Its own."""
        return self


class Region(base.Region):
    """See `Settings`."""

    def find(self, finder: base.Finder, witness: base.Witness | None) -> FoundRegion:
        """All weights of the best heads, on the CPU."""
        from harness.models.editing import SelectedWeights
        from harness.probing.heads import head_masks, top_heads

        accuracy = finder.heads.probe(self.settings).accuracy
        if witness is not None:
            witness.heads = accuracy
        count = max(1, round(self.settings.fraction * accuracy.numel()))
        return SelectedWeights(head_masks(finder.model, top_heads(accuracy, count)))

    def plain_masks(self, look: base.Look) -> Mapping[str, Tensor] | None:
        """Of the best heads, from config.json's sizes, in numpy; None where nobody noted how the heads were chosen."""
        from harness.regions._head_receipts import plain_heads

        if look.heads is None:
            return None
        return plain_heads(look.layers, look.heads, self.settings.fraction, look.model.config.num_key_value_heads)

    def receipts(self, found: FoundRegion, look: base.Look) -> list[StageReceipt]:
        """As many heads as asked for, each whole, and those whose probes are right most often."""
        from harness.models.editing import SelectedWeights
        from harness.probing.heads import head_layout
        from harness.regions._head_receipts import best_heads
        from harness.regions._mask_receipts import whole_heads

        receipts, layout = super().receipts(found, look), head_layout(look.model)
        if isinstance(found, SelectedWeights):
            heads = layout.blocks * layout.heads
            receipts.append(whole_heads(found.masks, self.settings.fraction, heads, layout.head_size))
            if look.heads is not None:
                receipts.append(best_heads(found.masks, look.heads, look.probed(self.settings)))
        return receipts

    def words(self, spec: Mapping[str, Any]) -> str:
        """How many, and why these."""
        share = base.percent(self.settings.fraction)
        return f"the {share} of the attention heads that tell harmful from harmless prompts best"
