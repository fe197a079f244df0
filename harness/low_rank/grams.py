"""Gram matrices of the inputs of linear layers, streamed: activations are never kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.calibration.pairs import Sample
from harness.calibration.stream import BlockStream, response_positions
from harness.errors import UserError
from harness.formulas.memory import FLOAT64, activation_bytes, gram_product_bytes
from harness.models.layers import deepest_block, layer_type, linear_layers
from harness.models.placement import place_of_sums, shape_of
from harness.spec.region import AttributionSettings

#: {layer name: (d_in, d_in) float64}; layers that share an input share the very same tensor.
Grams = dict[str, Tensor]
#: Layer types whose input is that of another type, q or gate.
SHARING = ("k_proj", "v_proj", "up_proj")


def one_shot_grams(model: PreTrainedModel, samples: Sequence[Sample], settings: AttributionSettings) -> Grams:
    """Gram matrices of all linear layers of the model as it is, from one pass over the samples."""
    return gram_matrices(BlockStream(model, samples), linear_layers(model), settings)


@torch.no_grad()
def gram_matrices(stream: BlockStream, layers: Mapping[str, nn.Linear], settings: AttributionSettings) -> Grams:
    """G = X_in X_inᵀ of every layer on the CPU, from one forward pass, which ends after the deepest of them.

    X_in is (d_in, n), the inputs at the positions that `settings.activation_positions` names. Products
    and sums are float64 whatever the model's dtype: in float32 their rounding, 1e-8 of the largest eigenvalue,
    hides which directions no input has, and a region that cuts through these differs from processor to processor.
    q, k, v share one Gram and gate, up share one, which is computed and held once. The sums lie on the
    model's device, or on the CPU where they do not fit there. Raises UserError where a Gram is not finite.
    Source: Wei et al. 2024, section 2.1; the published code keeps all activations.
    """
    sums = _GramSums(place_of_sums(stream.model.device, *_needed_bytes(stream, layers)))
    hooks = [layer.register_forward_pre_hook(sums.hook_of(name)) for name, layer in layers.items()]
    try:
        for batch, hidden in stream.each():
            sums.chosen = response_positions(batch.labels, settings.activation_positions)
            stream.run(hidden, deepest_block(layers) + 1)
    finally:
        for hook in hooks:
            hook.remove()
    for name, total in sums.totals.items():
        if not torch.isfinite(total).all():
            raise UserError(f"the inputs of {name} overflow on the calibration data; no directions can be found")
    totals = {name: total.cpu() for name, total in sums.totals.items()}
    return {name: totals[sums.first_with_the_input[name]] for name in layers}


def _needed_bytes(stream: BlockStream, layers: Mapping[str, nn.Linear]) -> tuple[int, int]:
    """Bytes of the sums, and of the largest batch's pass through one block; k, v and up share a Gram with another."""
    shape = shape_of(stream.model)
    tokens = max((batch.input_ids.numel() for batch in stream.batches), default=0)
    one_block = activation_bytes(shape, tokens, stream.model.dtype.itemsize) // shape.blocks
    own = [layer for name, layer in layers.items() if layer_type(name) not in SHARING]
    return FLOAT64 * sum(layer.in_features**2 for layer in own), one_block + gram_product_bytes(shape, tokens)


class _GramSums:
    """Sums over batches, each kept under the first layer that sees an input.

    chosen: (B, T) bool, the positions of the batch that is being run.
    """

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self.chosen: Tensor
        self.totals: dict[str, Tensor] = {}
        self.first_with_the_input: dict[str, str] = {}
        self._last: tuple[Tensor, str] | None = None

    def hook_of(self, name: str):
        """Hook that adds a batch's inputs, unless the very same tensor has just been added for another layer."""

        def pre_hook(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if self._last is None or self._last[0] is not inputs[0]:
                self._last = (inputs[0], name)
                self._add(name, inputs[0])
            self.first_with_the_input[name] = self._last[1]

        return pre_hook

    def _add(self, name: str, inputs: Tensor) -> None:
        x = inputs[self.chosen].double()  # (n, d_in)
        product = (x.mT @ x).to(self._place)
        if name in self.totals:
            self.totals[name] += product
        else:
            self.totals[name] = product
