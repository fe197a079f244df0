"""How a checkpoint itself asks to be decoded, which is left out: the spec says how texts are decoded.

Of generation_config.json the tokens that begin, end and pad texts are kept. Penalties, beams, suppressed tokens and
temperatures in it would make other texts than those that a figure says it rests on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from harness.errors import UserError
from harness.reading import read_json

FILE = "generation_config.json"
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
#: What says nothing of how a token is chosen.
_NO_DECODING = {"_from_model_config", "transformers_version", "use_cache", "output_attentions", "output_hidden_states"}


def keep_tokens_alone(model: PreTrainedModel) -> None:
    """Leave of a model's generation config the tokens, so that nothing but its caller decides how it generates."""
    own = model.generation_config
    model.generation_config = GenerationConfig(**{name: getattr(own, name, None) for name in _TOKENS})


def left_out(folder: Path) -> dict[str, Any]:
    """What generation_config.json of a checkpoint asks for beyond tokens, by name; empty where there is no such file.

    Raises UserError for a file that holds no settings.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: no settings: expected an object, each value by its name")
    return {name: value for name, value in found.items() if value is not None and name not in {*_TOKENS, *_NO_DECODING}}


def in_words(settings: Mapping[str, Any]) -> str:
    """`repetition_penalty 1.2, top_p 0.9`."""
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in sorted(settings.items()))
