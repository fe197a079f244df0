"""Whether a model in memory is the one that its files name: every parameter, and what config.json says of the rest.

Nothing that loads a model is used: the files are read by harness/models/checkpoint_files.py, tensor by tensor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.checkpoint_files import CheckpointFiles, StoredTensor
from harness.models.layers import transformer_blocks
from harness.spec.layers import LAYER_TYPES

#: Older checkpoints store what RoPE computes anyway.
_COMPUTED = re.compile(r"rotary_emb\.inv_freq$")
#: Frequencies in float32 are off by so much of themselves, relatively.
_FREQUENCY_ROUNDING = 1e-5
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def other_tensors(model: nn.Module, files: CheckpointFiles) -> list[str]:
    """In words, which tensors of a model its files lack, have besides, or have in another shape.

    model: may be on the device `meta`, without a number. No tensor is read.
    """
    held = dict(model.state_dict(keep_vars=True))
    named = [(name, tensor, files.tensors[name]) for name, tensor in held.items() if name in files.tensors]
    shapes = (_other_shape(name, tensor, stored) for name, tensor, stored in named)
    return [*_other_keys(held, files.tensors), *filter(None, shapes)]


def unlike_its_files(model: nn.Module, files: CheckpointFiles, dtype: torch.dtype | None) -> list[str]:
    """In words, what of a model is not as its files have it. dtype: the declared one; None takes that of config.json.

    Stored numbers are rounded to the model's dtype and compared bit for bit, on its device, one tensor at a time.
    """
    held = dict(model.state_dict(keep_vars=True))
    problems = [*_other_keys(held, files.tensors), *_other_dtype(held, files.config, dtype)]
    for name, tensor in held.items():
        if (stored := files.tensors.get(name)) is not None:
            problems += _otherwise(name, tensor, stored)
    return [*problems, *_unlike_config(model, files.config)]


def _other_keys(held: Mapping[str, Tensor], stored: Mapping[str, StoredTensor]) -> Iterator[str]:
    """Tensors that are missing in the files, and those that the model has no place for. One of tied ones is enough."""
    there = {id(tensor) for name, tensor in held.items() if name in stored}
    missing = [name for name, tensor in held.items() if id(tensor) not in there]
    left_over = [name for name in stored if name not in held and not _COMPUTED.search(name)]
    if missing:
        yield f"{len(missing)} tensors are missing in the files, first {missing[0]}: the model has drawn numbers there"
    if left_over:
        yield f"{len(left_over)} tensors of the files have no place in the model, first {left_over[0]}"


def _other_dtype(held: Mapping[str, Tensor], config: Mapping[str, Any], declared: torch.dtype | None) -> Iterator[str]:
    named = config.get("dtype") or config.get("torch_dtype")
    wanted = declared or getattr(torch, str(named).removeprefix("torch."), None)
    other = {name: tensor.dtype for name, tensor in held.items() if tensor.is_floating_point()}
    wrong = [name for name, dtype in other.items() if wanted is not None and dtype != wanted]
    if wrong:
        yield f"{len(wrong)} tensors are {_word(other[wrong[0]])}, first {wrong[0]}; expected {_word(wanted)}"


def _other_shape(name: str, held: Tensor, stored: StoredTensor) -> str | None:
    if tuple(held.shape) == stored.shape:
        return None
    return f"{name} is {tuple(held.shape)} in the model and {stored.shape} in {stored.file.name}"


def _otherwise(name: str, held: Tensor, stored: StoredTensor) -> Iterator[str]:
    if (problem := _other_shape(name, held, stored)) is not None:
        yield problem
        return
    wanted = stored.read().to(held.device)
    rounded = wanted.to(held.dtype)
    if torch.equal(_bits(rounded), _bits(held.detach())):
        return
    off = (rounded.double() - held.detach().double()).abs()
    words = f"{name}: {int((off != 0).sum())} of {off.numel()} numbers are not those of {stored.file.name}"
    yield words + f", off by up to {float(off.max()):.3g}{_cause(held.detach(), rounded)}"


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(_BITS[tensor.dtype.itemsize])


def _cause(held: Tensor, wanted: Tensor) -> str:
    """That they were rounded, or that one factor explains them, if it does."""
    for dtype in (torch.bfloat16, torch.float16):
        if torch.equal(wanted.to(dtype).to(wanted.dtype), held):
            return f": they have passed through {_word(dtype)}"
    one, other = held.double(), wanted.double()
    factor = float((one * other).sum() / other.square().sum().clamp(min=1e-300))
    within = (one - factor * other).abs() <= 0.01 * abs(factor) * other.abs()
    return f": they are {factor:.4g} times those" if bool(within.all()) else ""


def _unlike_config(model: nn.Module, config: Mapping[str, Any]) -> Iterator[str]:
    yield from _norms(model, config)
    yield from _rotary(model, config)
    yield from _biases(model, config)
    training = [name for name, module in model.named_modules() if module.training]
    if training:
        yield f"{len(training)} modules are in training mode"


def _norms(model: nn.Module, config: Mapping[str, Any]) -> Iterator[str]:
    epsilon = config.get("rms_norm_eps")
    found = {
        name: float(module.variance_epsilon)
        for name, module in model.named_modules()
        if isinstance(getattr(module, "variance_epsilon", None), float)
    }
    wrong = [name for name, value in found.items() if epsilon is not None and value != float(epsilon)]
    if wrong:
        yield f"the epsilon of {len(wrong)} norms is {found[wrong[0]]:g}; config.json says rms_norm_eps {epsilon:g}"


def _rotary(model: nn.Module, config: Mapping[str, Any]) -> Iterator[str]:
    """Frequencies and the factor of RoPE, of its kinds `default`, `linear` and `llama3`."""
    rotary = getattr(getattr(model, "model", None), "rotary_emb", None)
    found, wanted = getattr(rotary, "inv_freq", None), rotary_frequencies(config)
    if found is None or wanted is None:
        return
    held = found.detach().double().cpu()
    if held.shape != wanted.shape or bool(((held - wanted).abs() > _FREQUENCY_ROUNDING * wanted).any()):
        yield (
            f"RoPE turns by frequencies from {float(held[-1]):.6g} to {float(held[0]):.6g}; config.json gives "
            f"{float(wanted[-1]):.6g} to {float(wanted[0]):.6g} (rope_theta {_rope(config)['rope_theta']:g})"
        )
    if (scale := getattr(rotary, "attention_scaling", 1.0)) != 1.0:
        yield f"RoPE scales attention by {scale:g}; config.json gives 1"


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says of RoPE, by today's names."""
    scaling = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    theta = scaling.get("rope_theta", config.get("rope_theta", 10000.0))
    return {
        **scaling,
        "rope_theta": float(theta),
        "rope_type": scaling.get("rope_type", scaling.get("type", "default")),
    }


def rotary_frequencies(config: Mapping[str, Any]) -> Tensor | None:
    """(head size / 2,) float64, in radians a token, from config.json; None of a kind of RoPE that is not known here.

    Source: Su et al. 2021, section 3.2.2; for `llama3`, the code that Llama 3.1 was published with (apply_scaling).
    """
    rope = _rope(config)
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    plain = rope["rope_theta"] ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    if rope["rope_type"] == "default":
        return plain
    if rope["rope_type"] == "linear":
        return plain / rope["factor"]
    if rope["rope_type"] != "llama3":
        return None
    turns = rope["original_max_position_embeddings"] * plain / (2 * math.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * plain + (1 - kept) * plain / rope["factor"]


def _biases(model: nn.Module, config: Mapping[str, Any]) -> Iterator[str]:
    for place, types, key in (
        ("self_attn", LAYER_TYPES[:4], "attention_bias"),
        ("mlp", LAYER_TYPES[4:], "mlp_bias"),
    ):
        if key not in config:
            continue
        layers = [getattr(getattr(block, place), kind) for block in transformer_blocks(model) for kind in types]
        wrong = sum((layer.bias is not None) != bool(config[key]) for layer in layers)
        if wrong:
            found = "no" if config[key] else "a"
            yield f"{wrong} layers of {place} have {found} bias; config.json says {key}: {config[key]}"


def _word(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.")
