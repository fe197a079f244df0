"""The weights of the smallest importance."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.regions._scored import ScoredSettings
from harness.spec.common import Share


class Settings(ScoredSettings):
    """The `fraction` of weights with the smallest importance; `data` where the method looks at data."""

    roles: ClassVar[tuple[str, ...]] = ("data",)

    select: Literal["bottom"]
    data: str | None = None
    fraction: Share
