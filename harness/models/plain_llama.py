"""The forward pass of a Llama, written anew from its equations, with weights read from the files block by block.

Touvron et al. 2023 (section 2.2): RMSNorm before each half of a block, RoPE, SwiGLU; Ainslie et al. 2023 for heads that
share keys. Nothing of transformers takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness.models.as_named import rotary_frequencies
from harness.models.checkpoint_files import CheckpointFiles

#: What config.json has to say for these equations to be the model's.
KNOWN_MODELS, KNOWN_ACTIVATION = ("llama",), "silu"
Read = Callable[[str], Tensor]


def is_known(files: CheckpointFiles) -> bool:
    """Whether these equations are the model's, by its config.json."""
    config = files.config
    known = config.get("model_type") in KNOWN_MODELS and config.get("hidden_act", "silu") == KNOWN_ACTIVATION
    return known and not (config.get("attention_bias") or config.get("mlp_bias")) and _angles(files, 1) is not None


@torch.no_grad()
def plain_states(
    files: CheckpointFiles, ids: Sequence[int], dtype: torch.dtype, device: torch.device
) -> Iterator[Tensor]:
    """(T, d_model) behind the embedding and behind each block, then the logits (T, V), in float32.

    dtype: that of the model, which stored weights are rounded to.
    """

    def read(name: str) -> Tensor:
        return files.tensors[name].read().to(device).to(dtype).float()

    config = files.config
    hidden = read("model.embed_tokens.weight")[torch.tensor(list(ids), device=device)]
    yield hidden
    for block in range(config["num_hidden_layers"]):
        hidden = _block(partial(_of_block, read, block), files, hidden)
        yield hidden
    head = "lm_head.weight" if "lm_head.weight" in files.tensors else "model.embed_tokens.weight"
    yield _norm(hidden, read("model.norm.weight"), config) @ read(head).mT


def _of_block(read: Read, block: int, name: str) -> Tensor:
    return read(f"model.layers.{block}.{name}.weight")


def _block(read: Read, files: CheckpointFiles, hidden: Tensor) -> Tensor:
    """(T, d_model) -> (T, d_model)."""
    normed = _norm(hidden, read("input_layernorm"), files.config)
    hidden = hidden + _attention(read, files, normed) @ read("self_attn.o_proj").mT
    normed = _norm(hidden, read("post_attention_layernorm"), files.config)
    gate = normed @ read("mlp.gate_proj").mT
    return hidden + (gate * gate.sigmoid() * (normed @ read("mlp.up_proj").mT)) @ read("mlp.down_proj").mT


def _norm(hidden: Tensor, weight: Tensor, config: Mapping[str, Any]) -> Tensor:
    """x / sqrt(mean(x²) + ε) ∘ w."""
    epsilon = config.get("rms_norm_eps", 1e-6)
    return hidden * (hidden.square().mean(dim=-1, keepdim=True) + epsilon).rsqrt() * weight


def _attention(read: Read, files: CheckpointFiles, normed: Tensor) -> Tensor:
    """(T, d_model) -> (T, H d): each token attends to itself and those before it."""
    config, tokens = files.config, len(normed)
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    cosine, sine = _turns(files, tokens, normed.device)

    def of_heads(kind: str) -> Tensor:
        return (normed @ read(f"self_attn.{kind}").mT).reshape(tokens, -1, size).transpose(0, 1)  # (heads, T, d)

    def turned(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)

    query, key, value = turned(of_heads("q_proj")), turned(of_heads("k_proj")), of_heads("v_proj")
    key, value = (x.repeat_interleave(heads // len(x), dim=0) for x in (key, value))
    later = torch.ones(tokens, tokens, dtype=torch.bool, device=normed.device).triu(1)
    weights = (query @ key.mT / size**0.5).masked_fill(later, -torch.inf).softmax(dim=-1)
    return (weights @ value).transpose(0, 1).reshape(tokens, -1)


def _turns(files: CheckpointFiles, tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
    angles = _angles(files, tokens)
    if angles is None:
        raise ValueError("a kind of RoPE that has no equations here")
    return angles.cos().float().to(device), angles.sin().float().to(device)


def _angles(files: CheckpointFiles, tokens: int) -> Tensor | None:
    """(T, head size / 2)."""
    frequencies = rotary_frequencies(files.config)
    return None if frequencies is None else torch.arange(tokens, dtype=torch.float64)[:, None] * frequencies
