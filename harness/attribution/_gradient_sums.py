"""Gradients of the weights, summed over examples: what the methods share that go back through the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.calibration.pairs import Batch
from harness.calibration.stream import BlockStream, response_positions
from harness.formulas.importance import examples_at_once
from harness.formulas.memory import FLOAT32, activation_bytes, layer_gradient_bytes, logit_bytes
from harness.models.layers import transformer_blocks
from harness.models.placement import place_of_sums, shape_of

#: From the gradients of a layer's output (B, T, d_out) and its inputs (B, T, d_in), a sum over the B examples of
#: something of each one's gradient of the weights, (d_out, d_in) float32.
SumOverExamples = Callable[[Tensor, Tensor], Tensor]


def mean_over_examples(
    stream: BlockStream, layers: Mapping[str, nn.Linear], reduction: str, sum_over: SumOverExamples
) -> dict[str, Tensor]:
    """Means over the stream's examples, (d_out, d_in) float32 by layer, from one forward and one backward pass.

    reduction: of an example's loss over its response, `mean` or `sum`. sum_over: of a batch.
    Autograd only carries gradients of activations; each layer's own gradient is formed in a hook
    from its output gradient and its input, in float32 whatever the model's dtype. It is added up at
    once and never kept: of one layer, of no more than `examples_at_once`.
    The sums lie on the model's device, or on the CPU where they and a pass do not fit there together:
    they are the only tensors of the size of the model besides it.
    """
    place = place_of_sums(stream.model.device, *_needed_bytes(stream, layers))
    totals = {name: torch.zeros(layer.weight.shape, device=place) for name, layer in layers.items()}
    hooks = [layer.register_forward_hook(_accumulate_into(totals[name], sum_over)) for name, layer in layers.items()]
    try:
        for batch, hidden in stream.each():
            _pass(stream, batch, hidden, reduction)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total.div_(len(stream.samples)) for name, total in totals.items()}


def scores_of_means(
    stream: BlockStream,
    layers: Mapping[str, nn.Linear],
    reduction: str,
    sum_over: SumOverExamples,
    formula: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, Tensor]:
    """formula(weight, mean over examples) of each layer, on the CPU. The means are as `mean_over_examples` has them."""
    means = mean_over_examples(stream, layers, reduction, sum_over)
    return {name: formula(layer.weight.to(means[name].device), means.pop(name)).cpu() for name, layer in layers.items()}


def _pass(stream: BlockStream, batch: Batch, hidden: Tensor, reduction: str) -> None:
    """One batch forward and backward; nothing of its graph outlives the call."""
    with torch.enable_grad():
        final = stream.run(hidden.detach().requires_grad_(), len(transformer_blocks(stream.model)))
        loss = example_losses(stream.model, final, batch.labels, reduction).sum()
    loss.backward()


def _needed_bytes(stream: BlockStream, layers: Mapping[str, nn.Linear]) -> tuple[int, int]:
    """Bytes of the sums, and of the largest batch's pass."""
    shape, itemsize = shape_of(stream.model), stream.model.dtype.itemsize
    tokens = max((batch.input_ids.numel() for batch in stream.batches), default=0)
    predicted = max((int(response_positions(batch.labels, "predicting").sum()) for batch in stream.batches), default=0)
    held = layer_gradient_bytes(shape, examples_at_once(stream.model.device))
    return (
        FLOAT32 * sum(layer.weight.numel() for layer in layers.values()),
        activation_bytes(shape, tokens, itemsize) + logit_bytes(shape, predicted, itemsize, backward=True) + held,
    )


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


def _accumulate_into(total: Tensor, sum_over: SumOverExamples) -> Callable[..., None]:
    """Forward hook that waits for the gradient of the layer's output."""

    def forward_hook(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept = [inputs[0].detach()]

        def add(gradient: Tensor) -> None:
            total.add_(sum_over(gradient, kept.pop()).to(total.device))

        output.register_hook(add)

    return forward_hook
