"""The seven linear layers of every Llama block, by name. The embedding and the head are never among them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from harness.errors import UserError
from harness.spec.layers import LAYER_TYPES

_PLACES: dict[str, str] = {**dict.fromkeys(LAYER_TYPES[:4], "self_attn"), **dict.fromkeys(LAYER_TYPES[4:], "mlp")}


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """All scored layers in order of depth: `model.layers.0.self_attn.q_proj` and so on.

    Raises UserError where the model is no Llama: a layer that cannot be found is never skipped.
    """
    blocks = transformer_blocks(model)
    return {name: layer for index in range(len(blocks)) for name, layer in block_layers(model, index).items()}


def transformer_blocks(model: nn.Module) -> nn.ModuleList:
    """The model's blocks. Raises UserError if there are none where a Llama has them."""
    blocks = getattr(getattr(model, "model", None), "layers", None)
    if not isinstance(blocks, nn.ModuleList) or len(blocks) == 0:
        raise UserError(f"{type(model).__name__} has no blocks at model.layers; only Llama architectures are supported")
    return blocks


def block_layers(model: nn.Module, index: int) -> dict[str, nn.Linear]:
    """The seven linear layers of one block under their names in the model."""
    block = transformer_blocks(model)[index]
    layers: dict[str, nn.Linear] = {}
    for layer_type in LAYER_TYPES:
        place = _PLACES[layer_type]
        layer = getattr(getattr(block, place, None), layer_type, None)
        if not isinstance(layer, nn.Linear):
            raise UserError(
                f"block {index} has no linear layer {place}.{layer_type}; only Llama architectures are supported"
            )
        layers[f"model.layers.{index}.{place}.{layer_type}"] = layer
    return layers


def is_attention(name: str) -> bool:
    """Whether a layer name is one of q, k, v, o; the other three belong to the MLP."""
    return _PLACES[layer_type(name)] == "self_attn"


def layer_type(name: str) -> str:
    """`q_proj` from `model.layers.0.self_attn.q_proj`."""
    return name.rsplit(".", 1)[-1]


def deepest_block(layers: Mapping[str, nn.Linear]) -> int:
    """Largest block index among layer names such as `model.layers.3.mlp.up_proj`."""
    return max(int(name.split(".")[2]) for name in layers)
