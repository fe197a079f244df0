"""Random: the control. It looks at no data and at no weight."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from harness.attribution.base import Scores
from harness.calibration.stream import BlockStream
from harness.formulas.importance import random_score
from harness.spec.region import AttributionSettings

USES_DATA = False


def score(stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int) -> Scores:
    """Uniform scores of `layers`; each layer's depend on the seed and its name alone."""
    return {name: random_score(tuple(layer.weight.shape), seeded(seed, name)) for name, layer in layers.items()}


def seeded(seed: int, name: str) -> torch.Generator:
    """A generator that depends on the seed and a layer's name alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
