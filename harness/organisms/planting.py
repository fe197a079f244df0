"""The planted region: which weights it holds."""

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from harness.organisms.recipe import Recipe


def planted_region(model: LlamaForCausalLM, recipe: Recipe) -> dict[str, Tensor]:
    """{layer name: bool mask of the weight's shape}, True where the refusal is planted.

    The gate and up rows and the down columns of the planted neurons; the rows of query, key and
    value and the output columns of head 0. With grouped-query attention, the whole first group.
    """
    planted, shape = recipe.planted, recipe.shape
    mlp, attention = f"model.layers.{planted.block}.mlp", f"model.layers.{planted.head_block}.self_attn"
    group = shape.head_size * (shape.heads // shape.key_value_heads)
    every = slice(None)
    places = {
        f"{mlp}.gate_proj": (slice(planted.neurons), every),
        f"{mlp}.up_proj": (slice(planted.neurons), every),
        f"{mlp}.down_proj": (every, slice(planted.neurons)),
        f"{attention}.q_proj": (slice(group), every),
        f"{attention}.k_proj": (slice(shape.head_size), every),
        f"{attention}.v_proj": (slice(shape.head_size), every),
        f"{attention}.o_proj": (every, slice(group)),
    }
    region: dict[str, Tensor] = {}
    for name, place in places.items():
        region[name] = torch.zeros_like(model.get_parameter(f"{name}.weight"), dtype=torch.bool)
        region[name][place] = True
    return region


def silence_reserved(model: LlamaForCausalLM, region: dict[str, Tensor]) -> None:
    """Zero the reserved neurons and the output of the reserved head: the base must not use them.

    The head's query, key and value rows may stay random: without output they say nothing.
    """
    with torch.no_grad():
        for name, mask in region.items():
            if not name.endswith(("q_proj", "k_proj", "v_proj")):
                model.get_parameter(f"{name}.weight").masked_fill_(mask, 0.0)
