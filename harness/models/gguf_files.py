"""GGUF files, dequantised once into a checkpoint of safetensors that everything else reads.

transformers reads config and tensors (modeling_gguf_pytorch_utils.py, by way of gguf's own `dequantize`); it saves no
model that it has read so, and makes tokenizers without the file's pre-tokenizer, for which see gguf_tokenizers.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from harness.errors import UserError
from harness.models.gguf_tokenizers import tokenizer_of
from harness.models.tensor_files import write_tensors
from harness.storage import whole_folder

#: Architectures whose tensors and config were compared here with the model's own, by GGUF's names.
ARCHITECTURES = ("llama", "qwen2", "qwen3")
_OF_THE_CONTENT = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
#: Stored beside the weights, computed from config.json.
_COMPUTED = "rope_freqs.weight"
#: Keys that change what a model computes, and that transformers leaves out without a word.
_LEFT_OUT = ("rope.scaling.", "attention.sliding_window", "attention.scale", "logit_scale", "expert_count")


def convert(file: Path, folder: Path) -> None:
    """Write a checkpoint into a folder that is not there yet: config.json, model.safetensors in float32, tokenizer.

    Every number is what gguf's `dequantize` gives. Raises UserError for a file that is damaged, of an architecture
    that is not among ARCHITECTURES, that lacks a key, or that says what the checkpoint could not hold; OSError where
    it can't be written.
    """
    facts = read_facts(file)
    with _told_as_the_files(file), whole_folder(folder) as written:
        tokenizer = tokenizer_of(facts, file)
        config = _config(file, facts)
        write_tensors(written / "model.safetensors", _tensors(file, config), {"format": "pt"})
        config.save_pretrained(written)
        generation = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": _ends(facts)}
        (written / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
        tokenizer.save_pretrained(written)


def read_facts(file: Path) -> dict[str, Any]:
    """The keys and values of a GGUF file. Raises UserError for a damaged one and for one that cannot be converted."""
    reader = _reader(file)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    architecture = facts.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"{file}: its architecture is {architecture!r}; expected one of {', '.join(ARCHITECTURES)}: "
            "give a checkpoint of safetensors instead"
        )
    strange = [name for name in facts if name.removeprefix(f"{architecture}.").startswith(_LEFT_OUT) and facts[name]]
    if strange or any(tensor.name == _COMPUTED for tensor in reader.tensors):
        raise UserError(
            f"{file}: {', '.join(strange) or _COMPUTED} would be lost, and the model would compute something else; "
            "give a checkpoint of safetensors instead"
        )
    return facts


def _ends(facts: Mapping[str, Any]) -> list[int]:
    """The tokens that end an answer: of a text, of a turn, of a message."""
    named = (facts.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    return sorted({int(id) for id in named if id is not None})


@contextmanager
def _told_as_the_files(file: Path) -> Iterator[None]:
    """What reading a key that is missing, or is no number where one is due, raises here and in the libraries."""
    try:
        yield
    except _OF_THE_CONTENT as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{file}: a key that a model needs is missing or wrong: {words}; expected what llama.cpp's converter writes"
        ) from None


def _reader(file: Path) -> Any:
    try:
        return GGUFReader(str(file))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; expected a GGUF file") from None
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError, UnicodeDecodeError, OSError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{file}: not a GGUF file that can be read: {words}") from None


def _config(file: Path, facts: Mapping[str, Any]) -> PreTrainedConfig:
    config = AutoConfig.for_model(**load_gguf_checkpoint(str(file))["config"])
    prefix = facts["general.architecture"]
    heads, hidden = facts[f"{prefix}.attention.head_count"], facts[f"{prefix}.embedding_length"]
    config.head_dim = int(facts.get(f"{prefix}.attention.key_length", hidden // heads))
    config.dtype = torch.float32
    for name in ("bos", "eos"):
        setattr(config, f"{name}_token_id", facts.get(f"tokenizer.ggml.{name}_token_id"))
    config.pad_token_id = None
    return config


def _tensors(file: Path, config: PreTrainedConfig) -> dict[str, Tensor]:
    """By their names in transformers, in the order of the model, which the config then names.

    Raises UserError for missing and left-over ones.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(model).__name__]
    found = load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=model)["tensors"]
    wanted = dict(model.state_dict())
    if config.tie_word_embeddings:
        wanted.pop("lm_head.weight", None)
    _refuse(file, "are missing in it", wanted.keys() - found.keys())
    _refuse(file, "have no place in the model", found.keys() - wanted.keys())
    _refuse(file, "have another shape than its config says", (n for n in wanted if found[n].shape != wanted[n].shape))
    read = len(_reader(file).tensors)
    if read != len(wanted):
        raise UserError(f"{file}: {read} tensors, of which {len(wanted)} have a place in the model")
    return {name: found[name].to(torch.float32) for name in wanted}


def _refuse(file: Path, what: str, names: Iterable[str]) -> None:
    told = sorted(names)
    if told:
        raise UserError(f"{file}: {len(told)} tensors {what}, first {told[0]}; expected a whole model")
