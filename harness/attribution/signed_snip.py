"""Signed SNIP: W ∘ ∇L, the mean over examples, without the absolute value.

Removing a weight w changes the loss by about −w ∂L/∂w, to first order. So a score below 0 is of a weight whose removal
raises the loss: the model rests on it for these responses, and a region `bottom` holds the weights that it rests on
most. A score above 0 is of a weight whose removal lowers the loss: it stands in the way of these responses, and a
region `top` holds those that do so most. SNIP gives both the same score.

Source: Orgad et al. 2026, arXiv 2604.09544, where weights that generate harm are pruned by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from harness.attribution._gradient_sums import scores_of_means
from harness.attribution.base import AttributionMethod, PlainScores, Scores, ScoringWork
from harness.calibration.plain_block import PlainBlock
from harness.calibration.stream import BlockStream
from harness.formulas.importance import signed_snip_score, sum_of_gradients
from harness.spec.region import AttributionSettings


class Method(AttributionMethod):
    """See the module.

    Signs of examples cancel, so that few of them say less: of the organisms' layers, 32 of 128 samples, the least rank
    correlation is 0.38, and the largest of another block's scores 0.05.
    """

    uses_data = True
    signed = True
    weight_times_sum = True
    subsample_size = 32
    least_rank_correlation = 0.15
    title = "signed SNIP"

    def score(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Scores:
        """Scores of `layers` from one forward and one backward pass; the sums become the scores in place."""
        return scores_of_means(stream, layers, settings.loss_reduction, sum_of_gradients, signed_snip_score)

    def plain_score(self, block: PlainBlock, settings: AttributionSettings, seed: int) -> PlainScores:
        """W times the mean over samples of ∂L/∂W, each sample's gradient by autograd, summed in float64."""
        means = block.mean_over_samples(settings.loss_reduction, lambda gradient: gradient)
        return {name: weight * means[name] for name, weight in block.weights().items()}

    def mistakes(
        self, block: PlainBlock, settings: AttributionSettings, seed: int
    ) -> dict[str, Callable[[], PlainScores]]:
        """The other reduction of the loss, and an absolute value after the mean; that of each example is SNIP's."""
        other = "sum" if settings.loss_reduction == "mean" else "mean"
        reduced = settings.model_copy(update={"loss_reduction": other})
        return {
            "the absolute value of the mean was taken": lambda: {
                name: score.abs() for name, score in self.plain_score(block, settings, seed).items()
            },
            "the loss was reduced in the other way (mean or sum over tokens)": lambda: self.plain_score(
                block, reduced, seed
            ),
        }

    def work(self) -> ScoringWork:
        """One pass forward and back; the gradients of a batch are formed in one product."""
        return ScoringWork(forward=1, backward=1)
