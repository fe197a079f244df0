"""The most or the least important ranks of a layer's outputs on some data: ActSVD (section 2.1)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.regions._ranks import RankSettings


class Settings(RankSettings):
    """The `rank` directions at the `end` of W X_in on `data` (section 2.1): top, or the least of R."""

    roles: ClassVar[tuple[str, ...]] = ("data",)
    rank_keys: ClassVar[tuple[str, ...]] = ("rank",)

    select: Literal["act-svd"]
    data: str
    rank: int = Field(gt=0)
    end: Literal["top", "bottom"] = "top"
