"""Hashes of weights and of tokenizers: what a model is, whatever it is called.

A fingerprint says whether weights in memory are the same, bit for bit: a SHA-256 over names, dtypes, shapes and a
checksum of 128 bits of each tensor, which is made where the tensor lies. It is there against accidents. What lies on a
disk, or comes from somebody else, is held against a SHA-256 of its bytes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from harness.models.layers import linear_layers

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
#: A checksum takes 8 bytes for each number that is in work.
_ROWS_AT_ONCE = 1024
#: Checksums of 64 bits in a fingerprint.
_WAYS = 2


def tensor_bytes(tensor: Tensor) -> bytes:
    """The tensor's raw bytes in C order, whatever its dtype and device."""
    flat = tensor.detach().contiguous().cpu().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def weights_fingerprint(model: nn.Module) -> str:
    """Of all linear layers: see `tensors_fingerprint`."""
    return tensors_fingerprint({name: layer.weight for name, layer in linear_layers(model).items()})


def model_fingerprint(model: nn.Module) -> str:
    """Of all parameters, embeddings, norms and head included: see `tensors_fingerprint`."""
    return tensors_fingerprint(dict(model.named_parameters()))


def mask_fingerprint(masks: Mapping[str, Tensor]) -> str:
    """Of the bool masks of a region: see `tensors_fingerprint`."""
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
    """SHA-256 over names, dtypes, shapes and checksums, 64 hexadecimal digits.

    Each tensor is asked for once, in the order of the names. The same on every device.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(f"{tensor_checksum(tensor)}\n".encode())
    return digest.hexdigest()


def tensor_checksum(tensor: Tensor) -> str:
    """128 bits over the bits of a tensor, in hexadecimal: see `bit_checksum`."""
    return "".join(f"{bit_checksum(tensor, way):016x}" for way in range(_WAYS))


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, for tensors on a disk: nobody can make others that have it."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


@torch.no_grad()
def bit_checksum(tensor: Tensor, way: int = 0) -> int:
    """64 bits over the bits of a tensor of any dtype, made where it lies: cheap, to notice that it changed.

    The sum of r_i b_ij c_j modulo 2^64 over the bits b as integers of up to 32 bits, with odd pseudo-random r and c:
    one number that changes always changes it, and so do rows or columns in another order but for one case in about
    2^60. Integer sums are the same in any order, and so on any device. way: other r and c, for 64 bits more.
    """
    if not tensor.numel():
        return 0
    bits = _as_integers(tensor.detach().reshape(tensor.shape[0] if tensor.dim() else 1, -1).contiguous())
    rows, columns = (_odd_numbers(size, 2 * way + axis, tensor.device) for axis, size in enumerate(bits.shape))
    parts = zip(bits.split(_ROWS_AT_ONCE), rows.split(_ROWS_AT_ONCE), strict=True)
    return sum(int(((part * columns).sum(dim=1) * row).sum()) for part, row in parts) % 2**64


def _as_integers(matrix: Tensor) -> Tensor:
    """The same bytes as whole numbers: as few as 32 bits allow, where the length of a row does."""
    size = matrix.dtype.itemsize
    words = 4 if size * matrix.shape[1] % 4 == 0 and size != 2 else min(size, 4)
    return matrix.view(_INTEGERS[words])


@functools.cache
def _odd_numbers(count: int, stream: int, device: torch.device) -> Tensor:
    """(count,) odd integers of 64 bits, the same in every process and others for each stream."""
    drawn = torch.randint(-(2**62), 2**62, (count,), generator=torch.Generator().manual_seed(4 * count + stream))
    return (2 * drawn + 1).to(device)
