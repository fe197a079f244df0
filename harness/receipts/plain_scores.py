"""Scores and Grams of one block by their plain definitions: whole forward passes, autograd and hooks.

Nothing of harness/attribution, harness/subspaces or harness/calibration/stream.py is used: samples of one length go
through transformers' own forward together, so that nothing is padded; then each sample's loss is differentiated alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from harness.models.layers import block_layers, transformer_blocks
from harness.receipts.data import NO_LABEL, PlainSet
from harness.spec.region import AttributionSettings

#: Most samples that go through the model together.
_TOGETHER = 32
#: Inputs of a layer whose Gram is computed a second time: 8,192 squared takes half a gigabyte in float64.
LARGEST_GRAM = 8192

Layers = Mapping[str, nn.Linear]


@dataclass(frozen=True)
class Entering:
    """Samples of one length where they enter a block: hidden (B, T, d_model), what else it is given, labels (B, T)."""

    hidden: Tensor
    keywords: Mapping[str, Any]
    labels: Tensor

    def sample(self, index: int) -> tuple[Tensor, dict[str, Any], Tensor]:
        """One of them: hidden (1, T, d_model), what else the block is given, labels (T,)."""
        rows = len(self.hidden)

        def of_row(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(of_row(part) for part in value)
            return value[index : index + 1] if isinstance(value, Tensor) and len(value) == rows else value

        keywords = {key: of_row(value) for key, value in self.keywords.items()}
        return self.hidden[index : index + 1], keywords, self.labels[index]


@torch.no_grad()
def entering(model: PreTrainedModel, block: int, plain: PlainSet) -> list[Entering]:
    """All samples of a set where they enter a block of the model as it is, seen in its own forward pass."""
    noted: list[tuple[Tensor, dict[str, Any]]] = []

    def note(_block: nn.Module, arguments: tuple[Tensor, ...], keywords: dict[str, Any]) -> None:
        noted.append((arguments[0] if arguments else keywords["hidden_states"], keywords))

    hook = transformer_blocks(model)[block].register_forward_pre_hook(note, with_kwargs=True)
    groups = list(_of_one_length(plain, model.device))
    try:
        for ids, _ in groups:
            model.model(input_ids=ids, use_cache=False)
    finally:
        hook.remove()
    return [
        Entering(hidden, {key: value for key, value in keywords.items() if key != "hidden_states"}, labels)
        for (hidden, keywords), (_, labels) in zip(noted, groups, strict=True)
    ]


def plain_scores(
    method: str, model: PreTrainedModel, block: int, states: Sequence[Entering], settings: AttributionSettings
) -> dict[str, Tensor] | None:
    """Scores (d_out, d_in) float64 on the CPU of the layers of a block; None where no definition is at hand.

    states: of the samples, where they enter the block; empty for a method that looks at no data.
    """
    layers = block_layers(model, block)
    sizes = {name: layer.weight.detach().double().abs().cpu() for name, layer in layers.items()}
    if method == "magnitude":
        return sizes
    if method == "snip":
        return _snip(model, block, layers, states, settings.loss_reduction)
    if method == "wanda":
        squares = _sums(model, block, layers, states, settings, lambda x: x.double().square().sum(dim=0))
        return {name: sizes[name] * squares[name].sqrt() for name in layers}
    return None


def plain_grams(
    model: PreTrainedModel, block: int, states: Sequence[Entering], settings: AttributionSettings
) -> dict[str, Tensor]:
    """X_in X_inᵀ (d_in, d_in) float64 on the CPU of the layers of a block whose d_in is at most LARGEST_GRAM."""
    layers = {name: layer for name, layer in block_layers(model, block).items() if layer.in_features <= LARGEST_GRAM}
    return _sums(model, block, layers, states, settings, lambda x: x.double().mT @ x.double())


def _snip(
    model: PreTrainedModel, block: int, layers: Layers, states: Sequence[Entering], reduction: str
) -> dict[str, Tensor]:
    """Mean over samples of |W ∘ ∂L/∂W|, each sample's gradient by autograd, summed in float64."""
    weights = [layer.weight for layer in layers.values()]
    totals = [torch.zeros(weight.shape, dtype=torch.float64, device=weight.device) for weight in weights]
    samples = [state.sample(index) for state in states for index in range(len(state.labels))]
    with _differentiable(weights), torch.enable_grad():
        for hidden, keywords, labels in samples:
            final = hidden
            for each in transformer_blocks(model)[block:]:
                final = each(final, **keywords)
            response = labels[1:] != NO_LABEL
            logits = model.lm_head(model.model.norm(final[0, :-1][response])).float()  # (n, V)
            loss = functional.cross_entropy(logits, labels[1:][response], reduction=reduction)
            for total, gradient in zip(totals, torch.autograd.grad(loss, weights), strict=True):
                total += gradient.abs()
    return {
        name: (layer.weight.detach().double().abs() * total / len(samples)).cpu()
        for (name, layer), total in zip(layers.items(), totals, strict=True)
    }


@torch.no_grad()
def _sums(
    model: PreTrainedModel,
    block: int,
    layers: Layers,
    states: Sequence[Entering],
    settings: AttributionSettings,
    statistic: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """Sum over samples of a statistic of each layer's inputs (n, d_in) at the positions that the settings name."""
    totals: dict[str, Tensor] = {}
    inputs: dict[str, Tensor] = {}

    def kept_as(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _layer, arguments: inputs.__setitem__(name, arguments[0])

    hooks = [layer.register_forward_pre_hook(kept_as(name)) for name, layer in layers.items()]
    try:
        for state in states:
            transformer_blocks(model)[block](state.hidden, **state.keywords)
            chosen = state.labels != NO_LABEL
            if settings.activation_positions == "predicting":
                chosen = functional.pad(chosen[:, 1:], (0, 1))
            for name in layers:
                of_group = statistic(inputs[name][chosen]).cpu()
                totals[name] = totals[name] + of_group if name in totals else of_group
    finally:
        for hook in hooks:
            hook.remove()
    return totals


def _of_one_length(plain: PlainSet, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels (B, T) of samples of one length."""
    by_length: dict[int, list[tuple[Sequence[int], Sequence[int]]]] = defaultdict(list)
    for sequence in plain.sequences:
        by_length[len(sequence[0])].append(sequence)
    for group in by_length.values():
        for start in range(0, len(group), _TOGETHER):
            ids, labels = zip(*group[start : start + _TOGETHER], strict=True)
            yield torch.tensor(ids, device=device), torch.tensor(labels, device=device)


@contextmanager
def _differentiable(weights: Iterable[Tensor]) -> Iterator[None]:
    """Gradients reach these weights for the length of the context."""
    for weight in weights:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(False)
