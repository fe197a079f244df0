"""Whole attention heads, chosen by probes of their outputs (section 4.1, appendix C.4)."""

from __future__ import annotations

from typing import Literal

from harness.spec.common import Share
from harness.spec.probing import ProbeSettings
from harness.spec.region import RegionSettings


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
