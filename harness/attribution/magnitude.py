"""Magnitude: |W|. It looks at no data."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from harness.attribution.base import Scores
from harness.calibration.stream import BlockStream
from harness.formulas.importance import magnitude_score
from harness.spec.region import AttributionSettings

USES_DATA = False


def score(stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int) -> Scores:
    """|W| of `layers`."""
    return {name: magnitude_score(layer.weight).cpu() for name, layer in layers.items()}
