"""The only from_pretrained of the package: safetensors only, no code from the hub, exact dtype."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness.data.sources import tokenizer_variant
from harness.data.weights import made_folder, require_as_made, weights_problem
from harness.errors import UserError
from harness.models.as_named import other_tensors, unlike_its_files
from harness.models.attention import share_keys_within_groups
from harness.models.checkpoint_files import CheckpointFiles
from harness.models.config_sizes import LARGEST
from harness.models.folder import ADAPTER, refuse_active, unfit_config
from harness.models.golden_prompts import require_golden_prompts
from harness.models.layers import linear_layers
from harness.models.opening import opening
from harness.models.own_decoding import keep_tokens_alone
from harness.models.tokenizers import asked_first, beginnings, require_tried
from harness.organisms import catalogue
from harness.reading import real
from harness.spec.variant import ModelVariant

#: Given to every from_pretrained. Without a word transformers asks at the terminal whether to run a folder's code.
_LIBRARY_ALONE: dict[str, Any] = {"trust_remote_code": False}
#: What from_pretrained raises for files that fit no model, or not each other: also what Python itself says then.
_REFUSED: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    ImportError,
)
#: Differences from the files that are told one by one.
_SHOWN = 5
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, its tokenizer and the device that holds it.

    tensor_parallel_size: over how many devices an engine that can do so spreads its copy.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    tensor_parallel_size: int = 1


def source_directory(variant: ModelVariant, variant_file: Path) -> Path | None:
    """The local directory of a variant's checkpoint, or None where it lives on the hub."""
    if variant.source.organism is not None:
        return catalogue.organism_directory(variant.source.organism)
    if variant.source.path is not None:
        return real(variant_file.parent / variant.source.path)
    return made_folder(variant.source)


def load_variant(variant: ModelVariant, variant_file: Path) -> LoadedModel:
    """Load a variant's weights and tokenizer. Raises UserError with the next step where it cannot.

    Its golden prompts, if it has any, are checked before the weights are loaded. So are weights that were made here.
    """
    if weights_problem(variant) is None:
        require_as_made(variant.source, weights=True)
    require_golden_prompts(variant, load_tokenizer(variant, variant_file))
    loaded = load_checkpoint(place_of(variant, variant_file), variant.dtype, variant.source.revision)
    return replace(loaded, tensor_parallel_size=variant.tensor_parallel_size)


def load_tokenizer(variant: ModelVariant, variant_file: Path) -> PreTrainedTokenizerBase:
    """A variant's tokenizer alone, tried on what it will be asked. Raises UserError where it cannot be used.

    Of a model that a recipe aligns, that of the model which the recipe begins with: it is there before the weights are.
    """
    holder, holder_file = tokenizer_variant(variant, variant_file)
    place = place_of(holder, holder_file)
    _refuse_missing(place)
    require_as_made(holder.source, weights=False)
    with _loading(place):
        folder = require_tried(place, holder.source.revision, beginnings(variant, variant_file.parent))
        options = {**_LIBRARY_ALONE, **_revision(holder.source.revision)}
        tokenizer = asked_first(AutoTokenizer.from_pretrained(place, **options), folder)
    with _told_of(place):
        opening(tokenizer, variant.chat_template)
    return tokenizer


def load_context(variant: ModelVariant, variant_file: Path) -> int:
    """The longest text in tokens that a variant's model takes, by the config of what its tokenizer is from."""
    holder, holder_file = tokenizer_variant(variant, variant_file)
    place = place_of(holder, holder_file)
    _refuse_missing(place)
    return context_of(place, _config(place, holder.source.revision))


def context_of(place: str, config: PreTrainedConfig) -> int:
    """The longest text in tokens that a model takes. Raises UserError for a config that does not say so."""
    longest = getattr(config, "max_position_embeddings", None)
    if longest is None:
        raise UserError(f"{place}: config.json gives no max_position_embeddings; expected a model like Llama")
    return int(longest)


def load_stop_tokens(variant: ModelVariant, variant_file: Path) -> frozenset[int]:
    """The tokens that end an answer by the files of a checkpoint: its generation config's, or else its config's.

    Raises UserError for what is no number of a token.
    """
    place = place_of(variant, variant_file)
    revision = _revision(variant.source.revision)
    try:
        configured = GenerationConfig.from_pretrained(place, **revision).eos_token_id
    except OSError:
        configured = _config(place, variant.source.revision).eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    tokens = [token for token in listed if token is not None]
    if not all(type(token) is int and token >= 0 for token in tokens):
        raise UserError(
            f"{place}: eos_token_id is {configured!r:.80}; expected the number of a token, or a list of them"
        )
    return frozenset(tokens)


def checkpoint_files(variant: ModelVariant, variant_file: Path) -> CheckpointFiles:
    """The files of a variant's checkpoint, for whoever compares with them."""
    return CheckpointFiles.at(place_of(variant, variant_file), variant.source.revision)


def checkpoint_tokenizer(place: str, revision: str | None = None) -> tuple[PreTrainedTokenizerBase, PreTrainedConfig]:
    """The tokenizer of a directory or a repository, and its model's config; no weight is read."""
    _refuse_missing(place)
    options = {**_LIBRARY_ALONE, **_revision(revision)}
    config = _config(place, revision)
    _refuse_more_than_weights(place, config)
    with _loading(place):
        folder = require_tried(place, revision)
        return asked_first(AutoTokenizer.from_pretrained(place, **options), folder), config


def place_of(variant: ModelVariant, variant_file: Path) -> str:
    """Where a variant's checkpoint lies: a directory, or a repository on the hub.

    Raises UserError for no place, and where the libraries would take what lies in the working directory for the
    repository, whatever its revision.
    """
    if (problem := weights_problem(variant)) is not None:
        raise UserError(f"{variant_file}: {problem}")
    if (repository := variant.source.repository) is not None and os.path.lexists(repository):
        raise UserError(
            f"{repository}: lies in the working directory, and would be loaded in place of the repository of that name "
            "on the hub; start the command from another folder, or give its path as source.path"
        )
    return str(source_directory(variant, variant_file) or variant.source.repository)


def load_checkpoint(place: str, dtype: str | None = None, revision: str | None = None) -> LoadedModel:
    """Load a directory or a hub repository; without `dtype`, in the checkpoint's own."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer, config = checkpoint_tokenizer(place, revision)
    _refuse_other_model(place, config, tokenizer)
    with _loading(place):
        model: Any = AutoModelForCausalLM.from_pretrained(
            place,
            dtype=_DTYPES[dtype] if dtype else "auto",
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told by name, where the library ends in a RuntimeError
            **_LIBRARY_ALONE,
            **_revision(revision),
        )
    _refuse_unfit(place, model)
    model.requires_grad_(False)
    model = model.to(device).eval()
    _refuse_unlike_its_files(place, revision, model, getattr(torch, dtype) if dtype else None)
    share_keys_within_groups(model)
    keep_tokens_alone(model)
    return LoadedModel(model, tokenizer, device)


def _config(place: str, revision: str | None) -> PreTrainedConfig:
    with _loading(place):
        return AutoConfig.from_pretrained(place, **_LIBRARY_ALONE, **_revision(revision))


def _revision(revision: str | None) -> dict[str, Any]:
    return {"revision": revision} if revision else {}


def _refuse_missing(place: str) -> None:
    if "/" in place and Path(place).is_absolute():
        if not Path(place).is_dir():
            raise UserError(f"{place}: no such checkpoint directory")
        refuse_active(Path(place))


def _refuse_more_than_weights(place: str, config: PreTrainedConfig) -> None:
    """What a checkpoint on the hub says of itself, of which `refuse_active` reads the files in a folder."""
    by_these_names = {size: getattr(config, size, None) for size in LARGEST}  # GPT-2 calls its layers n_layer
    problems = unfit_config(config.to_dict() | by_these_names | {"_attn_implementation": config._attn_implementation})
    if problems:
        raise UserError("\n".join(f"{place}: {problem}" for problem in problems))


def _refuse_other_model(place: str, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """A model of another kind, or of other sizes than its files, before a weight is read or memory taken for one."""
    with _loading(place, RuntimeError), torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, **_LIBRARY_ALONE)
    with _told_of(place):
        linear_layers(model)
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"{place}: the tokenizer has {len(tokenizer)} entries, the model {model.config.vocab_size}; "
            "they belong to different models"
        )
    if Path(place).is_dir():
        _tell(place, other_tensors(model, CheckpointFiles.at(place)))


@contextmanager
def _loading(place: str, *besides: type[Exception]) -> Iterator[None]:
    """What from_pretrained raises, as a UserError with the next step. besides: other errors that tell of the files."""
    try:
        yield
    except _REFUSED + besides as error:
        told = error.__cause__ if isinstance(error, StrictDataclassError) and error.__cause__ else error
        first = str(told).strip().splitlines()[:1] or [type(told).__name__]
        raise UserError(
            f"{place}: cannot be loaded: {first[0]}\nA checkpoint holds config.json, tokenizer files and "
            "model.safetensors; a gated repository needs its licence accepted and a token (hf auth login)."
        ) from None


@contextmanager
def _told_of(place: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


def _refuse_unlike_its_files(
    place: str, revision: str | None, model: PreTrainedModel, dtype: torch.dtype | None
) -> None:
    """A tensor that is missing or left over is a warning of the library's, behind which the model has drawn numbers."""
    _tell(place, unlike_its_files(model, CheckpointFiles.at(place, revision), dtype))


def _tell(place: str, problems: Sequence[str]) -> None:
    if problems:
        shown = [f"{place}: {problem}" for problem in problems[:_SHOWN]]
        more = [f"and {len(problems) - _SHOWN} more"] * (len(problems) > _SHOWN)
        raise UserError(
            "\n".join([*shown, *more, "expected the model that config.json and the safetensors files name"])
        )


def _refuse_unfit(place: str, model: PreTrainedModel) -> None:
    """Weights with NaN are found before anything is measured."""
    if getattr(model, "_hf_peft_config_loaded", False):
        raise UserError(f"{place}: {ADAPTER}")
    for name, layer in linear_layers(model).items():
        if not torch.isfinite(layer.weight).all():
            raise UserError(f"{place}: {name} holds NaN or infinite weights")
