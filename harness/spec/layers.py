"""The seven types of linear layers in every Llama block, in the order of the model."""

from __future__ import annotations

from typing import Literal, get_args

LayerType = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
#: The first four belong to attention, the others to the MLP.
LAYER_TYPES: tuple[LayerType, ...] = get_args(LayerType)
