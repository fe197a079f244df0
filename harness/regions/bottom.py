"""The weights of the smallest importance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.regions._scored import OneScoreRegion, ScoredSettings
from harness.spec.common import Share
from harness.spec.region import ComparisonGroup

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Settings(ScoredSettings):
    """The `fraction` of weights with the smallest importance; `data` where the method looks at data."""

    roles: ClassVar[tuple[str, ...]] = ("data",)

    select: Literal["bottom"]
    data: str | None = None
    fraction: Share


class Region(OneScoreRegion):
    """See `Settings`."""

    end: ClassVar[str] = "least"
    of_least: ClassVar[bool] = True

    def mask(self, scores: Sequence[Tensor], group: ComparisonGroup) -> Tensor:
        """The `fraction` of the layer."""
        from harness.formulas.selection import bottom_mask

        return bottom_mask(scores[0], self.settings.fraction, group)

    def expected(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> np.ndarray:
        """By sorting."""
        from harness.regions._mask_receipts import plain_top

        return plain_top(-scores[0], self.settings.fraction, group)
