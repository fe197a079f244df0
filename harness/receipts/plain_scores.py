"""Scores and Grams of a few layers by their plain definitions: whole forward passes, autograd and hooks, no shortcuts.

Nothing of harness/attribution, harness/subspaces or the streaming of blocks is used. Slow, and so for one block only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from harness.models.layers import block_layers
from harness.receipts.data import NO_LABEL, PlainSet
from harness.spec.region import AttributionSettings

#: Samples of one length that go through the model together; each one's loss is differentiated on its own.
_TOGETHER = 8
#: Inputs of a layer whose Gram is computed a second time: 8,192 squared takes half a gigabyte in float64.
LARGEST_GRAM = 8192

Layers = Mapping[str, nn.Linear]


def plain_scores(
    method: str, model: PreTrainedModel, block: int, plain: PlainSet | None, settings: AttributionSettings
) -> dict[str, Tensor] | None:
    """Scores (d_out, d_in) float64 on the CPU of the layers of a block; None where no definition is at hand."""
    layers = block_layers(model, block)
    if method == "magnitude":
        return {name: layer.weight.detach().double().abs().cpu() for name, layer in layers.items()}
    if method == "snip" and plain is not None:
        return _snip(model, layers, plain, settings.loss_reduction)
    if method == "wanda" and plain is not None:
        grams = _sums(model, layers, plain, settings, lambda x: x.double().square().sum(dim=0))
        return {name: layer.weight.detach().double().abs().cpu() * grams[name].sqrt() for name, layer in layers.items()}
    return None


def plain_grams(
    model: PreTrainedModel, block: int, plain: PlainSet, settings: AttributionSettings
) -> dict[str, Tensor]:
    """X_in X_inᵀ (d_in, d_in) float64 on the CPU of the layers of a block whose d_in is at most LARGEST_GRAM."""
    layers = {name: layer for name, layer in block_layers(model, block).items() if layer.in_features <= LARGEST_GRAM}
    return _sums(model, layers, plain, settings, lambda x: x.double().mT @ x.double())


def _snip(model: PreTrainedModel, layers: Layers, plain: PlainSet, reduction: str) -> dict[str, Tensor]:
    """Mean over samples of |W ∘ ∂L/∂W|, each sample's gradient by autograd, summed in float64."""
    weights = {name: layer.weight for name, layer in layers.items()}
    totals = {name: torch.zeros(weight.shape, dtype=torch.float64) for name, weight in weights.items()}
    with _differentiable(weights.values()), torch.enable_grad():
        for ids, labels in _of_one_length(plain, model.device):
            logits = model(input_ids=ids, use_cache=False).logits  # (B, T, V)
            losses = functional.cross_entropy(logits[:, :-1].mT.float(), labels[:, 1:], ignore_index=NO_LABEL,
                                              reduction="none").sum(dim=1)  # fmt: skip
            if reduction == "mean":
                losses = losses / (labels[:, 1:] != NO_LABEL).sum(dim=1)
            for loss in losses:
                gradients = torch.autograd.grad(loss, list(weights.values()), retain_graph=True)
                for total, weight, gradient in zip(totals.values(), weights.values(), gradients, strict=True):
                    total += (weight.detach().double() * gradient.double()).abs().cpu()
    return {name: total / len(plain.sequences) for name, total in totals.items()}


@torch.no_grad()
def _sums(
    model: PreTrainedModel, layers: Layers, plain: PlainSet, settings: AttributionSettings,
    statistic: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:  # fmt: skip
    """Sum over samples of a statistic of each layer's inputs (n, d_in) at the positions that the settings name."""
    totals: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64))
    inputs: dict[str, Tensor] = {}

    def kept_as(name: str):
        return lambda _layer, arguments: inputs.__setitem__(name, arguments[0])

    hooks = [layer.register_forward_pre_hook(kept_as(name)) for name, layer in layers.items()]
    try:
        for ids, labels in _of_one_length(plain, model.device):
            model(input_ids=ids, use_cache=False)
            chosen = labels != NO_LABEL
            if settings.activation_positions == "predicting":
                chosen = functional.pad(chosen[:, 1:], (0, 1))
            for name in layers:
                totals[name] = totals[name] + statistic(inputs[name][chosen]).cpu()
    finally:
        for hook in hooks:
            hook.remove()
    return dict(totals)


def _of_one_length(plain: PlainSet, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels (B, T) of samples of one length, so that nothing is padded."""
    by_length: dict[int, list[tuple[Sequence[int], Sequence[int]]]] = defaultdict(list)
    for sequence in plain.sequences:
        by_length[len(sequence[0])].append(sequence)
    for group in by_length.values():
        for start in range(0, len(group), _TOGETHER):
            ids, labels = zip(*group[start : start + _TOGETHER], strict=True)
            yield torch.tensor(ids, device=device), torch.tensor(labels, device=device)


@contextmanager
def _differentiable(weights) -> Iterator[None]:
    """Gradients reach these weights for the length of the context."""
    for weight in weights:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(False)
