"""One block of a model with the samples that enter it, for plain definitions: whole forward passes, autograd and hooks.

Nothing of harness/calibration/stream.py is used: samples of one length go through transformers' own forward together,
so that nothing is padded; then each sample's loss is differentiated alone.
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
from harness.spec.region import AttributionSettings

#: Label of a token that is no part of a response; the same number as torch's cross_entropy ignores.
NO_LABEL = -100
#: Most samples that go through the model together.
_TOGETHER = 32

#: Token ids of a sample and, of each, its label: itself, or NO_LABEL.
Sequences = Sequence[tuple[Sequence[int], Sequence[int]]]


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


@dataclass(frozen=True)
class PlainBlock:
    """A block of a model as it is. states: of the samples, where they enter it; empty where no data are looked at."""

    model: PreTrainedModel
    index: int
    states: Sequence[Entering] = ()

    @property
    def layers(self) -> dict[str, nn.Linear]:
        """Its linear layers by name."""
        return block_layers(self.model, self.index)

    def weights(self) -> dict[str, Tensor]:
        """W (d_out, d_in) of its layers, float64 on the CPU."""
        return {name: layer.weight.detach().double().cpu() for name, layer in self.layers.items()}

    def gradients(self, reduction: str) -> Iterator[dict[str, Tensor]]:
        """∂L/∂W (d_out, d_in) of its layers, sample after sample, by autograd, where the model lies.

        L: negative log-likelihood of the sample's response, `mean` or `sum` over its tokens.
        """
        layers = self.layers
        weights = [layer.weight for layer in layers.values()]
        for state in self.states:
            for index in range(len(state.labels)):
                with _differentiable(weights), torch.enable_grad():
                    found = torch.autograd.grad(self._loss(*state.sample(index), reduction), weights)
                yield dict(zip(layers, found, strict=True))

    def mean_over_samples(self, reduction: str, of_gradient: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Mean over samples of something of each one's ∂L/∂W, by layer, summed in float64; on the CPU."""
        totals: dict[str, Tensor] = {}
        samples = 0
        for gradients in self.gradients(reduction):
            samples += 1
            for name, gradient in gradients.items():
                total = totals.setdefault(name, torch.zeros_like(gradient, dtype=torch.float64))
                total += of_gradient(gradient)
        return {name: total.cpu() / samples for name, total in totals.items()}

    def _loss(self, hidden: Tensor, keywords: Mapping[str, Any], labels: Tensor, reduction: str) -> Tensor:
        final = hidden
        for block in transformer_blocks(self.model)[self.index :]:
            final = block(final, **keywords)
        response = labels[1:] != NO_LABEL
        logits = self.model.lm_head(self.model.model.norm(final[0, :-1][response])).float()  # (n, V)
        return functional.cross_entropy(logits, labels[1:][response], reduction=reduction)

    @torch.no_grad()
    def sums_of_inputs(
        self, settings: AttributionSettings, statistic: Callable[[Tensor], Tensor], widest: int | None = None
    ) -> dict[str, Tensor]:
        """Sum over samples of a statistic of each layer's inputs (n, d_in) at the positions that the settings name.

        On the CPU. widest: layers with more inputs are left out.
        """
        layers = {n: layer for n, layer in self.layers.items() if widest is None or layer.in_features <= widest}
        totals: dict[str, Tensor] = {}
        inputs: dict[str, Tensor] = {}

        def kept_as(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            return lambda _layer, arguments: inputs.__setitem__(name, arguments[0])

        hooks = [layer.register_forward_pre_hook(kept_as(name)) for name, layer in layers.items()]
        try:
            for state in self.states:
                transformer_blocks(self.model)[self.index](state.hidden, **state.keywords)
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


@torch.no_grad()
def plain_block(model: PreTrainedModel, index: int, sequences: Sequences) -> PlainBlock:
    """A block of the model as it is, with all samples where they enter it, seen in the model's own forward pass."""
    noted: list[tuple[Tensor, dict[str, Any]]] = []

    def note(_block: nn.Module, arguments: tuple[Tensor, ...], keywords: dict[str, Any]) -> None:
        noted.append((arguments[0] if arguments else keywords["hidden_states"], keywords))

    hook = transformer_blocks(model)[index].register_forward_pre_hook(note, with_kwargs=True)
    groups = list(_of_one_length(sequences, model.device))
    try:
        for ids, _ in groups:
            model.model(input_ids=ids, use_cache=False)
    finally:
        hook.remove()
    states = [
        Entering(hidden, {key: value for key, value in keywords.items() if key != "hidden_states"}, labels)
        for (hidden, keywords), (_, labels) in zip(noted, groups, strict=True)
    ]
    return PlainBlock(model, index, states)


def _of_one_length(sequences: Sequences, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels (B, T) of samples of one length."""
    by_length: dict[int, list[tuple[Sequence[int], Sequence[int]]]] = defaultdict(list)
    for sequence in sequences:
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
