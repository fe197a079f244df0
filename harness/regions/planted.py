"""The planted region of a model organism, as its file has it."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.spec.region import RegionSettings


class Settings(RegionSettings):
    """The weights that are known to carry the safety of a model organism."""

    is_planted: ClassVar[bool] = True

    select: Literal["planted"]
