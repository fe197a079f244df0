"""Faults of the engine: it computes with the weights of another cell, or reads a prompt from a cache of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from harness.engines.hf import HfEngine
from harness.faults.base import Fault
from harness.models.loading import LoadedModel


def _on_a_copy(make: Callable[[LoadedModel], HfEngine]) -> Callable[[LoadedModel], HfEngine]:
    """The engine has its own copy of the weights."""
    return lambda loaded: make(replace(loaded, model=copy.deepcopy(loaded.model)))


def _sent_too_late(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """The weights are sent to the engine behind the evaluations instead of before them."""

    def wrong(bench: Any, *args: Any) -> Any:
        results = evaluate(bench, *args)
        bench.engine._model.load_state_dict(bench.loaded.model.state_dict())
        return results

    return wrong


class _WithPrefixCache:
    """The model, whose `generate` reads a batch of prompts once and keeps what it read: nobody ever empties it."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._own = model
        self._kept: dict[bytes, DynamicCache] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def generate(
        self, input_ids: Tensor, attention_mask: Tensor, past_key_values: DynamicCache, **settings: Any
    ) -> Tensor:
        if not past_key_values.get_seq_length():  # a prompt, and no text that goes on
            key = input_ids.cpu().numpy().tobytes()
            if key not in self._kept:
                self._kept[key] = self._read(input_ids[:, :-1], attention_mask[:, :-1])
            for index, layer in enumerate(cast(Any, self._kept[key]).layers):
                past_key_values.update(layer.keys, layer.values, index)
        own = cast(Any, self._own)  # PreTrainedModel itself declares no `generate`
        return own.generate(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=past_key_values, **settings
        )

    def _read(self, ids: Tensor, mask: Tensor) -> DynamicCache:
        """Keys and values of all tokens but the last."""
        cache = DynamicCache(config=self._own.config)
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        self._own(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        return cache


def _caching(begin: Callable[..., None]) -> Callable[..., None]:
    """Every engine keeps a prefix cache over all cells."""

    def wrong(engine: Any, loaded: Any) -> None:
        begin(engine, loaded)
        engine._model = _WithPrefixCache(engine._model)

    return wrong


FAULTS = (
    Fault(
        id="engine_holds_previous_weights",
        number=6,
        title="Engine still holding the previous cell's weights",
        says="it held those of",
        stage="engine",
        caught_by=("engine/weights",),
        replaces={"harness.engines.hf:make": _on_a_copy, "harness.runs.cells:_evaluate": _sent_too_late},
        cells=("planted", "wanda-top"),
    ),
    Fault(
        id="stale_prefix_cache",
        number=7,
        title="Weights new, prefix cache old",
        says="prefix cache",
        stage="engine",
        caught_by=("engine/prefix-cache",),
        replaces={"harness.engines.hf:HfEngine.__init__": _caching},
        cells=("planted", "wanda-top"),
    ),
)
