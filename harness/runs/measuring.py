"""What a region is found from, as it is measured: of a whole model, of a block, and what decides the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.calibration.pairs import Sample
from harness.calibration.stream import BlockStream
from harness.low_rank.grams import gram_matrices, one_shot_grams
from harness.regions.base import Measure
from harness.runs import computed_by, scoring
from harness.spec.region import AttributionSettings

#: By layer, on the CPU.
Measured = dict[str, Tensor]


class Measuring(Protocol):
    """Scores or Gram matrices. seed: of a method that draws."""

    def of_model(
        self, model: PreTrainedModel, samples: Sequence[Sample], settings: AttributionSettings, seed: int
    ) -> Measured:
        """Of all layers of the model as it is."""

    def of_block(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Measured:
        """Of the layers of a block, with the samples where they enter it."""

    def key(self, settings: AttributionSettings, seed: int) -> dict[str, object]:
        """What decides the result besides model, samples and machine."""


def measuring(measure: Measure) -> Measuring:
    """How it is measured. Raises UserError for a method that is not here."""
    return GramsMeasured() if measure.method is None else ScoresMeasured(measure.name, measure.uses_data)


@dataclass(frozen=True)
class GramsMeasured:
    """See `Measuring`."""

    def of_model(
        self, model: PreTrainedModel, samples: Sequence[Sample], settings: AttributionSettings, seed: int
    ) -> Measured:
        """From one pass."""
        return one_shot_grams(model, samples, settings)

    def of_block(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Measured:
        """From one pass through it."""
        return gram_matrices(stream, layers, settings)

    def key(self, settings: AttributionSettings, seed: int) -> dict[str, object]:
        """Nothing but the code."""
        return {"kind": "gram", "code": computed_by.of_grams()}


@dataclass(frozen=True)
class ScoresMeasured:
    """See `Measuring`."""

    method: str
    uses_data: bool

    def of_model(
        self, model: PreTrainedModel, samples: Sequence[Sample], settings: AttributionSettings, seed: int
    ) -> Measured:
        """By the method."""
        return scoring.one_shot_scores(model, samples, self.method, settings, seed)

    def of_block(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Measured:
        """By the method."""
        return scoring.finite_scores(self.method, stream, layers, settings, seed)

    def key(self, settings: AttributionSettings, seed: int) -> dict[str, object]:
        """The method, how its loss is reduced, and its seed where it looks at no data."""
        return {
            "kind": "score",
            "method": self.method,
            "code": computed_by.of_scores(self.method),
            "loss_reduction": settings.loss_reduction,
            "seed": None if self.uses_data else seed,
        }
