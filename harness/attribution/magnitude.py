"""Magnitude: |W|. It looks at no data."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from harness.attribution.base import AttributionMethod, PlainScores, Scores, ScoringWork
from harness.calibration.plain_block import PlainBlock
from harness.calibration.stream import BlockStream
from harness.formulas.importance import magnitude_score
from harness.spec.region import AttributionSettings


class Method(AttributionMethod):
    """See the module."""

    uses_data = False

    def score(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Scores:
        """|W| of `layers`."""
        return {name: magnitude_score(layer.weight).cpu() for name, layer in layers.items()}

    def plain_score(self, block: PlainBlock, settings: AttributionSettings, seed: int) -> PlainScores:
        """|W|."""
        return {name: weight.abs() for name, weight in block.weights().items()}

    def work(self) -> ScoringWork:
        """It runs no model."""
        return ScoringWork()
