"""The only from_pretrained of the package: safetensors only, no code from the hub, exact dtype."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from harness.errors import UserError
from harness.models.layers import linear_layers
from harness.organisms import catalogue
from harness.spec.variant import ModelVariant

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, its tokenizer and the device that holds it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device


def source_directory(variant: ModelVariant, variant_file: Path) -> Path | None:
    """The local directory of a variant's checkpoint, or None where it lives on the hub."""
    if variant.source.organism is not None:
        return catalogue.organism_directory(variant.source.organism)
    if variant.source.path is not None:
        return (variant_file.parent / variant.source.path).resolve()
    return None


def load_variant(variant: ModelVariant, variant_file: Path) -> LoadedModel:
    """Load a variant's weights and tokenizer. Raises UserError with the next step where it cannot."""
    directory = source_directory(variant, variant_file)
    place = str(directory) if directory else str(variant.source.repository)
    return load_checkpoint(place, variant.dtype, variant.source.revision)


def load_checkpoint(place: str, dtype: str | None = None, revision: str | None = None) -> LoadedModel:
    """Load a directory or a hub repository; without `dtype`, in the checkpoint's own."""
    if "/" in place and Path(place).is_absolute() and not Path(place).is_dir():
        raise UserError(f"{place}: no such checkpoint directory")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = {"revision": revision} if revision else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model = AutoModelForCausalLM.from_pretrained(
            place, dtype=_DTYPES[dtype] if dtype else "auto", use_safetensors=True, **options
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{place}: cannot be loaded: {first}\nA checkpoint holds config.json, tokenizer files and "
            "model.safetensors; a gated repository needs its licence accepted and a token (hf auth login)."
        ) from None
    linear_layers(model)
    _refuse_unfit(place, model, tokenizer)
    model.requires_grad_(False)
    return LoadedModel(model.to(device).eval(), tokenizer, device)


def _refuse_unfit(place: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """A tokenizer of another model or without BOS, or weights with NaN, are found before anything is measured."""
    if tokenizer.bos_token_id is None:
        raise UserError(
            f"{place}: the tokenizer has no BOS token; every prompt of the llama families starts with one. "
            "Set bos_token in tokenizer_config.json"
        )
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"{place}: the tokenizer has {len(tokenizer)} entries, the model {model.config.vocab_size}; "
            "they belong to different models"
        )
    for name, layer in linear_layers(model).items():
        if not torch.isfinite(layer.weight).all():
            raise UserError(f"{place}: {name} holds NaN or infinite weights")
