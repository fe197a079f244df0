"""Importance scores of a model as it is: what is stored of a method of attribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from harness.attribution.base import Scores, method
from harness.calibration.pairs import Sample
from harness.calibration.stream import BlockStream
from harness.errors import UserError
from harness.models.layers import linear_layers
from harness.spec.region import AttributionSettings


def one_shot_scores(
    model: PreTrainedModel, samples: Sequence[Sample], name: str, settings: AttributionSettings, seed: int
) -> Scores:
    """Scores of all linear layers of the model as it is, on the CPU, from one pass over the samples.

    name: of the method. Raises UserError as `finite_scores` does.
    """
    return finite_scores(name, BlockStream(model, samples), linear_layers(model), settings, seed)


def finite_scores(
    name: str, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
) -> Scores:
    """Scores of some layers, on the CPU.

    Raises UserError if a score is not finite: a mask from NaN would be a mask from nothing.
    """
    scores = {layer: score.cpu() for layer, score in method(name).score(stream, layers, settings, seed).items()}
    for layer, score in scores.items():
        if not torch.isfinite(score).all():
            raise UserError(f"the {name} scores of {layer} are not finite; the model overflows on the calibration data")
    return scores
