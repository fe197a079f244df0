"""The weights that matter for safety and not for utility (section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.regions._scored import Mistake, ScoredRegion, ScoredSettings
from harness.regions.base import EditOptions, percent
from harness.spec.common import Share
from harness.spec.region import ComparisonGroup

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Settings(ScoredSettings):
    """S(p, q): in the top q of safety and not in the top p of utility (section 2.2)."""

    roles: ClassVar[tuple[str, ...]] = ("safety", "utility")

    select: Literal["set-difference"]
    safety: str
    utility: str
    p: Share
    q: Share


class Region(ScoredRegion):
    """See `Settings`. It holds at most its q, and at least what p can leave of it."""

    edit_options: ClassVar[EditOptions | None] = EditOptions(
        {"safety": "safety", "utility": "utility"}, ("p", "q"), ("group",)
    )

    @property
    def largest_share(self) -> float:
        """Its q."""
        return self.settings.q

    def mask(self, scores: Sequence[Tensor], group: ComparisonGroup) -> Tensor:
        """Of safety and utility, in this order."""
        from harness.formulas.selection import set_difference_mask

        safety, utility = scores
        return set_difference_mask(utility, safety, self.settings.p, self.settings.q, group)

    def expected(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> np.ndarray:
        """By sorting both."""
        from harness.regions._mask_receipts import plain_top

        safety, utility = scores
        return plain_top(safety, self.settings.q, group) & ~plain_top(utility, self.settings.p, group)

    def rule(self) -> str:
        """Top of the one and not of the other."""
        return f"are in the top {self.settings.q:g} of safety and not in the top {self.settings.p:g} of utility"

    def counts(self, count: Callable[[float], int]) -> tuple[int, int]:
        """From q without p to q."""
        return max(0, count(self.settings.q) - count(self.settings.p)), count(self.settings.q)

    def mistakes(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> Iterator[Mistake]:
        """Those of a region with two sides."""
        yield "safety and utility were swapped", lambda: self.expected(scores[::-1], group)
        swapped = Region(self.settings.model_copy(update={"p": self.settings.q, "q": self.settings.p}))
        yield "p and q were swapped", lambda: swapped.expected(scores, group)

    def what(self) -> str:
        """Both sides."""
        settings = self.settings
        return (
            f"the weights that are among the top {percent(settings.q)} for {settings.safety} and not among the top "
            f"{percent(settings.p)} for {settings.utility}, by {self.title} importance"
        )
