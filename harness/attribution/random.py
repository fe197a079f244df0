"""Random: the control. It looks at no data and at no weight."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from harness.attribution.base import AttributionMethod, PlainScores, Scores, ScoringWork
from harness.calibration.plain_block import PlainBlock
from harness.calibration.stream import BlockStream
from harness.formulas.draws import seeded
from harness.formulas.importance import random_score
from harness.spec.region import AttributionSettings


class Method(AttributionMethod):
    """See the module."""

    uses_data = False
    uses_model = False

    def score(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Scores:
        """Uniform scores of `layers`; each layer's depend on the seed and its name alone."""
        return {name: random_score(tuple(layer.weight.shape), seeded(seed, name)) for name, layer in layers.items()}

    def plain_score(self, block: PlainBlock, settings: AttributionSettings, seed: int) -> PlainScores:
        """Drawn once more: torch's uniform numbers after the first 63 bits of the SHA-256 of `seed:layer`."""
        drawn = {}
        for name, weight in block.weights().items():
            first_bits = int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:16], 16) // 2
            drawn[name] = torch.rand(*weight.shape, generator=torch.Generator().manual_seed(first_bits)).double()
        return drawn

    def work(self) -> ScoringWork:
        """It runs no model."""
        return ScoringWork()
