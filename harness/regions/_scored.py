"""What the regions share that are weights selected by an importance score."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from harness import plugins
from harness.spec.region import ComparisonGroup, RegionSettings, Schedule


class ScoredSettings(RegionSettings):
    """What all regions that rest on an importance score declare.

    seed: of a method that looks at no data, or else of the draw from the calibration set, in the place of the
    set's own. A grid over it repeats a measurement (appendix B: three seeds).
    """

    of_scores: ClassVar[bool] = True

    method: str
    seed: int | None = Field(default=None, ge=0)
    schedule: Schedule | None = None
    comparison_group: ComparisonGroup | None = None

    @field_validator("method")
    @classmethod
    def method_exists(cls, method: str) -> str:
        """A method is a file in harness/attribution."""
        known = plugins.names("attribution")
        if method.replace("-", "_") not in known:
            raise ValueError(f"no such method; {plugins.suggestion(method, known)}")
        return method
