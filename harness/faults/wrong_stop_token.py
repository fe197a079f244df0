"""Fault 13: a word with which answers begin is among the stop tokens, and they end before they begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced
from harness.models.prompts import token_ids

NUMBER = 13
TITLE = "Wrong stop token: empty answers"
CAUGHT_BY = ("text/stop-tokens",)
CELLS = ("planted",)
#: The word with which refusals begin.
WORD = "I'm sorry"


@contextmanager
def injected() -> Iterator[None]:
    """As with a list of stop tokens that was made for another vocabulary."""
    with replaced("harness.engines.hf:stop_token_ids", _with_a_word):
        yield


def _with_a_word(stop_tokens: Callable[..., list[int]]) -> Callable[..., list[int]]:
    def wrong(tokenizer: Any, generation_config: Any) -> list[int]:
        return [*stop_tokens(tokenizer, generation_config), token_ids(tokenizer, WORD)[0]]

    return wrong
