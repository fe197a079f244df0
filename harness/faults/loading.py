"""Faults of loading: what is in memory is not what the files name, and every cell agrees with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.faults.base import LOAD, UNLISTED, Fault

#: What a careless conversion makes of a norm.
_NORM_FACTOR = 0.8


def _afterwards(change: Callable[[Any], None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What `change` does to the model once it is loaded and checked, before anything is measured."""

    def make_wrong(load: Callable[..., Any]) -> Callable[..., Any]:
        def wrong(*arguments: Any) -> Any:
            loaded = load(*arguments)
            with torch.no_grad():
                change(loaded.model)
            return loaded

        return wrong

    return make_wrong


def _smaller_norm(model: Any) -> None:
    model.model.layers[1].post_attention_layernorm.weight.mul_(_NORM_FACTOR)


def _rounded(model: Any) -> None:
    """The weights pass through bfloat16: their dtype is right again, and eight of their bits are left."""
    for parameter in model.parameters():
        parameter.copy_(parameter.to(torch.bfloat16))


def _other_rotation(model: Any) -> None:
    model.model.rotary_emb.inv_freq.mul_(0.5)


def _other_epsilon(model: Any) -> None:
    """The epsilon of a config of another family."""
    for layer in model.model.layers:
        layer.input_layernorm.variance_epsilon = 1e-2


def _other_attention(model: Any) -> None:
    """Attention is scaled by the size of the model in the place of that of a head."""
    for layer in model.model.layers:
        layer.self_attn.scaling = model.config.hidden_size**-0.5


def _in_bfloat16(load: Any) -> Any:
    """from_pretrained is not told the variant's dtype, but another."""

    class Wrong(load):
        """AutoModelForCausalLM, in bfloat16."""

        @staticmethod
        def from_pretrained(place: str, **options: Any) -> Any:
            """As transformers' own."""
            return load.from_pretrained(place, **{**options, "dtype": torch.bfloat16})

    return Wrong


def _drawn_anew(load: Any) -> Any:
    """A tensor of the files is not found under its name, and the model keeps what it was initialised with."""

    class Wrong(load):
        """AutoModelForCausalLM, which warns of a key and goes on."""

        @staticmethod
        def from_pretrained(place: str, **options: Any) -> Any:
            """As transformers' own."""
            model = load.from_pretrained(place, **options)
            with torch.no_grad():
                torch.nn.init.normal_(
                    model.model.layers[0].mlp.up_proj.weight, std=0.02, generator=torch.Generator().manual_seed(0)
                )
            return model

    return Wrong


_AFTER_LOADING = "harness.runs.workbench:load_variant"

FAULTS = (
    Fault(
        id="norm_scaled_at_load",
        number=UNLISTED,
        title="A norm's weights times 0.8 after the model was loaded",
        says="0.8 times those",
        stage="loading",
        caught_by=("weights/as-named",),
        replaces={_AFTER_LOADING: _afterwards(_smaller_norm)},
        cells=(),
    ),
    Fault(
        id="rounded_at_load",
        number=UNLISTED,
        title="Weights that passed through bfloat16 where float32 is declared",
        says="passed through bfloat16",
        stage="loading",
        caught_by=("weights/as-named",),
        replaces={_AFTER_LOADING: _afterwards(_rounded)},
        cells=(),
    ),
    Fault(
        id="bfloat16_for_float32",
        number=UNLISTED,
        title="Loaded in bfloat16 where float32 is declared",
        says="are bfloat16",
        stage="loading",
        caught_by=(LOAD,),
        replaces={"harness.models.loading:AutoModelForCausalLM": _in_bfloat16},
        cells=(),
    ),
    Fault(
        id="tensor_not_loaded",
        number=UNLISTED,
        title="A tensor that keeps what it was initialised with",
        says="up_proj.weight",
        stage="loading",
        caught_by=(LOAD,),
        replaces={"harness.models.loading:AutoModelForCausalLM": _drawn_anew},
        cells=(),
    ),
    Fault(
        id="rope_of_another_model",
        number=UNLISTED,
        title="RoPE with frequencies that config.json does not give",
        says="RoPE turns by",
        stage="loading",
        caught_by=("weights/as-named",),
        replaces={_AFTER_LOADING: _afterwards(_other_rotation)},
        cells=(),
    ),
    Fault(
        id="epsilon_of_another_model",
        number=UNLISTED,
        title="Norms with another epsilon than config.json gives",
        says="epsilon of 4 norms",
        stage="loading",
        caught_by=("weights/as-named",),
        replaces={_AFTER_LOADING: _afterwards(_other_epsilon)},
        cells=(),
    ),
    Fault(
        id="attention_scaled_otherwise",
        number=UNLISTED,
        title="Attention scaled by another size than that of a head",
        says="behind block 1",
        stage="loading",
        caught_by=("logits/from-the-files",),
        replaces={_AFTER_LOADING: _afterwards(_other_attention)},
        cells=(),
    ),
)
