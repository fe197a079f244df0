"""Fault 7: the engine computes with the new weights, but reads a known prompt from keys and values of the old ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from harness.faults.seam import replaced

NUMBER = 7
TITLE = "Weights new, prefix cache old"
CAUGHT_BY = ("engine/prefix-cache",)
CELLS = ("planted", "wanda-top")


class _WithPrefixCache:
    """The model, whose `generate` reads a batch of prompts once and keeps what it read: nobody ever empties it."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._own = model
        self._kept: dict[bytes, DynamicCache] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def generate(self, input_ids: Tensor, attention_mask: Tensor, **settings: Any) -> Tensor:
        own_cache = {"cache_implementation", "disable_compile"}
        settings = {name: value for name, value in settings.items() if name not in own_cache}
        key = input_ids.cpu().numpy().tobytes()
        if key not in self._kept:
            self._kept[key] = self._read(input_ids[:, :-1], attention_mask[:, :-1])
        own = cast(Any, self._own)  # PreTrainedModel itself declares no `generate`
        return own.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=copy.deepcopy(self._kept[key]),
            **settings,
        )

    def _read(self, ids: Tensor, mask: Tensor) -> DynamicCache:
        """Keys and values of all tokens but the last."""
        cache = DynamicCache(config=self._own.config)
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        self._own(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        return cache


@contextmanager
def injected() -> Iterator[None]:
    """Within it every engine keeps a prefix cache over all cells."""
    with replaced("harness.engines.hf:HfEngine.__init__", _caching):
        yield


def _caching(begin: Callable[..., None]) -> Callable[..., None]:
    def wrong(engine: Any, loaded: Any) -> None:
        begin(engine, loaded)
        engine._model = _WithPrefixCache(engine._model)

    return wrong
