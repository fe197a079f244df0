"""Wanda: |W| times the norm of the layer's inputs over response tokens (section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from harness.attribution.base import AttributionMethod, PlainScores, Scores, ScoringWork, SharedInput
from harness.calibration.plain_block import PlainBlock
from harness.calibration.stream import BlockStream, response_positions
from harness.formulas.importance import wanda_score
from harness.models.layers import deepest_block
from harness.spec.region import AttributionSettings


class Method(AttributionMethod):
    """See the module."""

    uses_data = True
    weight_times_sum = True
    title = "Wanda"

    @torch.no_grad()
    def score(
        self, stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int
    ) -> Scores:
        """Scores of `layers` from one forward pass, which ends after the deepest of them.

        Squares are summed in float64 over all response tokens of the set; nothing is divided by, as
        in the paper. The published code divides by the number of samples or of tokens in its two
        variants, which leaves the ranking as it is.
        """
        squares = {
            name: torch.zeros(layer.in_features, dtype=torch.float64, device=layer.weight.device)
            for name, layer in layers.items()
        }
        for batch, hidden in stream.each():
            chosen = response_positions(batch.labels, settings.activation_positions)
            sum_of_squares = SharedInput(partial(_sum_of_squares, chosen))
            hooks = [
                layer.register_forward_hook(_add_to(squares[name], sum_of_squares)) for name, layer in layers.items()
            ]
            try:
                stream.run(hidden, deepest_block(layers) + 1)
            finally:
                for hook in hooks:
                    hook.remove()
        return {name: wanda_score(layer.weight, squares[name].sqrt()).cpu() for name, layer in layers.items()}

    def plain_score(self, block: PlainBlock, settings: AttributionSettings, seed: int) -> PlainScores:
        """|W| times the norm of the inputs, whose squares are summed in float64."""
        squares = block.sums_of_inputs(settings, lambda x: x.double().square().sum(dim=0))
        return {name: weight.abs() * squares[name].sqrt() for name, weight in block.weights().items()}

    def mistakes(
        self, block: PlainBlock, settings: AttributionSettings, seed: int
    ) -> dict[str, Callable[[], PlainScores]]:
        """Inputs at the positions before those of the response, or the other way round."""
        other = "predicting" if settings.activation_positions == "response" else "response"
        shifted = settings.model_copy(update={"activation_positions": other})
        return {"activations were taken one position off": lambda: self.plain_score(block, shifted, seed)}

    def work(self) -> ScoringWork:
        """One pass forward."""
        return ScoringWork(forward=1)


def _sum_of_squares(chosen: Tensor, inputs: Tensor) -> Tensor:
    return inputs[chosen].double().square().sum(dim=0)  # (B, T, d_in) -> (d_in,)


def _add_to(total: Tensor, statistic: SharedInput):
    def forward_hook(_layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        total.add_(statistic(inputs[0]))

    return forward_hook
