"""A cache of keys and values whose memory is taken once, and of which only what is filled is looked at."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


def growing_cache(config: PreTrainedConfig, slots: int) -> DynamicCache:
    """The cache that transformers makes for a model, with plain layers preallocated. slots: most tokens of a row.

    transformers' dynamic cache copies all that it holds at every token, its static one attends to empty slots too.
    """
    cache = DynamicCache(config=config)
    cache.layers = [Preallocated(slots) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class Preallocated(DynamicLayer):
    """Keys and values (B, heads, tokens so far, head size), views of memory that has room for all tokens."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self._slots = slots
        self._memory: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take the memory, for rows, heads and sizes as those of the first tokens."""
        self.dtype, self.device = key_states.dtype, key_states.device
        keys, values = (
            states.new_empty((*states.shape[:2], self._slots, states.shape[3])) for states in (key_states, value_states)
        )
        self._memory = keys, values
        self._look_at(0)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add those of the next tokens, and return all. Raises IndexError where there is no room for them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self._memory is not None
        used = self.get_seq_length()
        filled = used + key_states.shape[2]
        if filled > self._slots:
            raise IndexError(f"{filled} tokens in a cache of {self._slots}")
        for memory, states in zip(self._memory, (key_states, value_states), strict=True):
            memory[:, :, used:filled] = states
        return self._look_at(filled)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows. indices: (rows,)."""
        if self._memory is not None:
            used = self.get_seq_length()
            keys, values = (memory.index_select(0, indices.to(memory.device)) for memory in self._memory)
            self._memory = keys, values
            self._look_at(used)

    def _look_at(self, tokens: int) -> tuple[Tensor, Tensor]:
        assert self._memory is not None
        self.keys, self.values = (torch.narrow(memory, 2, 0, tokens) for memory in self._memory)
        return self.keys, self.values
