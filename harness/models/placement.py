"""Where large sums are kept: on the model's device if they leave room for a pass, or in the CPU's memory."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from harness.formulas.memory import LlamaShape

#: Of what is free on a device, sums and a pass may take so much; the rest is for fragments and temporary tensors.
USABLE_SHARE = 0.9


def place_of_sums(device: torch.device, sum_bytes: int, pass_bytes: int) -> torch.device:
    """A model's device, or the CPU where `sum_bytes` and a pass of `pass_bytes` do not fit beside what is there."""
    if device.type != "cuda":
        return device
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + cached
    return device if leaves_room(free, sum_bytes, pass_bytes) else torch.device("cpu")


def leaves_room(free_bytes: float, sum_bytes: int, pass_bytes: int) -> bool:
    """Whether sums may stay on a device with so much free memory."""
    return sum_bytes + pass_bytes <= USABLE_SHARE * free_bytes


def shape_of(model: PreTrainedModel) -> LlamaShape:
    """The sizes of a loaded model's tensors."""
    return shape_from_config(model.config.to_dict())


def shape_from_config(config: dict[str, Any]) -> LlamaShape:
    """The sizes of a model's tensors, from its config.json. Raises KeyError or TypeError where it is no Llama's."""
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or hidden // heads)
    return LlamaShape(
        blocks=int(config["num_hidden_layers"]),
        hidden=hidden,
        intermediate=int(config["intermediate_size"]),
        queries=heads * head_size,
        key_values=int(config.get("num_key_value_heads") or heads) * head_size,
        vocabulary=int(config["vocab_size"]),
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
    )
