"""SNIP: |W ∘ ∇L|, the absolute value taken for each example (section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from harness.attribution._gradient_sums import scores_of_means
from harness.attribution.base import AttributionMethod, PlainScores, Scores, ScoringWork
from harness.calibration.plain_block import PlainBlock
from harness.calibration.stream import BlockStream
from harness.formulas.importance import snip_score, sum_of_absolute_gradients
from harness.spec.region import AttributionSettings


class Method(AttributionMethod):
    """See the module."""

    uses_data = True
    weight_times_sum = True
    title = "SNIP"

    def score(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Scores:
        """Scores of `layers` from one forward and one backward pass; the sums become the scores in place."""
        return scores_of_means(stream, layers, settings.loss_reduction, sum_of_absolute_gradients, snip_score)

    def plain_score(self, block: PlainBlock, settings: AttributionSettings, seed: int) -> PlainScores:
        """Mean over samples of |W ∘ ∂L/∂W|, each sample's gradient by autograd, summed in float64."""
        means = block.mean_over_samples(settings.loss_reduction, torch.abs)
        return {name: weight.abs() * means[name] for name, weight in block.weights().items()}

    def mistakes(
        self, block: PlainBlock, settings: AttributionSettings, seed: int
    ) -> dict[str, Callable[[], PlainScores]]:
        """The other reduction of the loss."""
        other = "sum" if settings.loss_reduction == "mean" else "mean"
        reduced = settings.model_copy(update={"loss_reduction": other})
        words = "the loss was reduced in the other way (mean or sum over tokens)"
        return {words: lambda: self.plain_score(block, reduced, seed)}

    def work(self) -> ScoringWork:
        """One pass forward and back."""
        return ScoringWork(forward=1, backward=1, one_by_one=True)
