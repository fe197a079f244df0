"""The evaluation's wish for a system prompt does not reach the template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 12
TITLE = "System prompt lost"
CAUGHT_BY = ("prompts/system-prompt",)
CELLS = ()


def _never_asked_for(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda system_prompt, chat_template: original(False, chat_template)


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.models.prompts:PromptStyle", _never_asked_for):
        yield
