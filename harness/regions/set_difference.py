"""The weights that matter for safety and not for utility (section 2.2)."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.regions._scored import ScoredSettings
from harness.spec.common import Share


class Settings(ScoredSettings):
    """S(p, q): in the top q of safety and not in the top p of utility (section 2.2)."""

    roles: ClassVar[tuple[str, ...]] = ("safety", "utility")

    select: Literal["set-difference"]
    safety: str
    utility: str
    p: Share
    q: Share
