"""SNIP: |W ∘ ∇L|, the absolute value taken for each example (section 2.1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.attribution.base import Scores
from harness.calibration.stream import BlockStream, response_positions
from harness.formulas.importance import snip_score, sum_of_absolute_gradients
from harness.models.layers import transformer_blocks
from harness.spec.region import AttributionSettings

USES_DATA = True


def score(stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings, seed: int) -> Scores:
    """Scores of `layers` from one forward and one backward pass over the stream.

    Autograd only carries gradients of activations; each layer's own gradient is formed in a hook
    from its output gradient and its input, one example at a time, in float32 whatever the model's
    dtype. It is added up at once and never kept.
    """
    totals = {name: torch.zeros(layer.weight.shape, device=layer.weight.device) for name, layer in layers.items()}
    hooks = [layer.register_forward_hook(_accumulate_into(totals[name])) for name, layer in layers.items()]
    try:
        for batch, hidden in stream.each():
            with torch.enable_grad():
                start = hidden.detach().requires_grad_()
                final = stream.run(start, len(transformer_blocks(stream.model)))
                loss = example_losses(stream.model, final, batch.labels, settings.loss_reduction).sum()
            loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    count = len(stream.samples)
    return {name: snip_score(layer.weight, totals[name] / count) for name, layer in layers.items()}


def example_losses(model: nn.Module, final_hidden: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """(B,) negative log-likelihood of each example's response: mean over its tokens, or their sum.

    final_hidden: (B, T, d_model) before the last norm. labels: (B, T). The head is applied only
    where a response token is predicted.
    """
    predicting = response_positions(labels, "predicting")
    states = model.get_submodule("model.norm")(final_hidden[predicting])  # (N, d_model)
    targets = labels[:, 1:][predicting[:, :-1]]  # (N,)
    token_losses = functional.cross_entropy(model.get_submodule("lm_head")(states).float(), targets, reduction="none")
    example = predicting.nonzero()[:, 0]  # (N,)
    sums = torch.zeros(len(labels), device=labels.device).index_add(0, example, token_losses)
    return sums / predicting.sum(dim=1) if reduction == "mean" else sums


def _accumulate_into(total: Tensor):
    """Forward hook that waits for the gradient of the layer's output."""

    def forward_hook(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].detach()

        def add(gradient: Tensor) -> None:
            total.add_(sum_of_absolute_gradients(gradient, x))

        output.register_hook(add)

    return forward_hook
