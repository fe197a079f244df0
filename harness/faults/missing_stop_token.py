"""Fault 13: the token that ends a turn is not among the stop tokens, and answers go on behind their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 13
TITLE = "Missing stop token: endless answers"
CAUGHT_BY = ("text/stop-tokens",)
CELLS = ("planted",)


@contextmanager
def injected() -> Iterator[None]:
    """As with a generation config that lists padding, or one of two end tokens, and not the one that is written."""
    with replaced("harness.engines.hf:stop_token_ids", _without_the_written_one):
        yield


def _without_the_written_one(stop_tokens: Callable[..., list[int]]) -> Callable[..., list[int]]:
    def wrong(tokenizer: Any, generation_config: Any) -> list[int]:
        listed = stop_tokens(tokenizer, generation_config)
        return listed[:-1] or [tokenizer.pad_token_id]

    return wrong
