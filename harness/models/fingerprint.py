"""Hashes of weights and of tokenizers: what a model is, whatever it is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from harness.models.layers import linear_layers


def tensor_bytes(tensor: Tensor) -> bytes:
    """The tensor's raw bytes in C order, whatever its dtype and device."""
    flat = tensor.detach().contiguous().cpu().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def weights_fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all linear layers."""
    return _hash({name: layer.weight for name, layer in linear_layers(model).items()})


def model_fingerprint(model: nn.Module) -> str:
    """SHA-256 over all parameters, embeddings, norms and head included."""
    return _hash(dict(model.named_parameters()))


def mask_fingerprint(masks: Mapping[str, Tensor]) -> str:
    """SHA-256 over the bool masks of a region."""
    return _hash(masks)


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


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()
