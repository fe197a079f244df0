"""Hashes of weights and of tokenizers: what a model is, whatever it is called."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from harness.models.layers import linear_layers

_INTEGERS = {2: torch.int16, 4: torch.int32}
#: A checksum takes 8 bytes for each number that is in work.
_ROWS_AT_ONCE = 1024


def tensor_bytes(tensor: Tensor) -> bytes:
    """The tensor's raw bytes in C order, whatever its dtype and device."""
    flat = tensor.detach().contiguous().cpu().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def weights_fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all linear layers."""
    return tensors_fingerprint({name: layer.weight for name, layer in linear_layers(model).items()})


def model_fingerprint(model: nn.Module) -> str:
    """SHA-256 over all parameters, embeddings, norms and head included."""
    return tensors_fingerprint(dict(model.named_parameters()))


def mask_fingerprint(masks: Mapping[str, Tensor]) -> str:
    """SHA-256 over the bool masks of a region."""
    return tensors_fingerprint(masks)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 over the vocabulary, merges, rules of splitting, special tokens, and how a probe text is split."""
    probe = "The quick brown fox [INST] jumps <s> over 1234 lazy dogs.\n\nÄ→!"
    content = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "special": {name: str(token) for name, token in sorted(tokenizer.special_tokens_map.items())},
        "probe": tokenizer(probe, add_special_tokens=True)["input_ids"],
    }
    if tokenizer.is_fast:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        # How the last call padded and cut is no property of the tokenizer; the vocabulary is there already.
        content["rules"] = {key: value for key, value in rules.items() if key not in ("padding", "truncation", "model")}
        content["model"] = {key: value for key, value in rules["model"].items() if key != "vocab"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def tensors_fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes; each tensor is asked for once, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


@torch.no_grad()
def bit_checksum(tensor: Tensor) -> int:
    """64 bits over a matrix or vector of 16- or 32-bit numbers, made where it lies: cheap, to notice that it changed.

    The sum of r_i b_ij c_j modulo 2^64 over the bits b as integers, with odd pseudo-random r and c: one number that
    changes always changes it, and so do rows or columns in another order but for one case in about 2^60.
    """
    bits = tensor.detach().reshape(tensor.shape[0], -1).view(_INTEGERS[tensor.dtype.itemsize])
    rows, columns = (_odd_numbers(size, axis, tensor.device) for axis, size in enumerate(bits.shape))
    parts = zip(bits.split(_ROWS_AT_ONCE), rows.split(_ROWS_AT_ONCE), strict=True)
    return sum(int(((part * columns).sum(dim=1) * row).sum()) for part, row in parts) % 2**64


@functools.cache
def _odd_numbers(count: int, axis: int, device: torch.device) -> Tensor:
    """(count,) odd integers of 64 bits, the same in every process and others for each axis."""
    drawn = torch.randint(-(2**62), 2**62, (count,), generator=torch.Generator().manual_seed(2 * count + axis))
    return (2 * drawn + 1).to(device)
