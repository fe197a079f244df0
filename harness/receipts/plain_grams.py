"""Grams of one block by their plain definition. Nothing of harness/low_rank is used."""

from __future__ import annotations

from torch import Tensor

from harness.calibration.plain_block import PlainBlock
from harness.spec.region import AttributionSettings

#: Inputs of a layer whose Gram is computed a second time: 8,192 squared takes half a gigabyte in float64.
LARGEST_GRAM = 8192


def plain_grams(block: PlainBlock, settings: AttributionSettings) -> dict[str, Tensor]:
    """X_in X_inᵀ (d_in, d_in) float64 on the CPU of the layers of a block whose d_in is at most LARGEST_GRAM."""
    return block.sums_of_inputs(settings, lambda x: x.double().mT @ x.double(), LARGEST_GRAM)
