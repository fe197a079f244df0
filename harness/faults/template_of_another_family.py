"""Prompts are written in the chat template of another family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 12
TITLE = "The other family's chat template"
CAUGHT_BY = ("load", "prompts/template")
CELLS = ()


def _of_another_family(original: Callable[..., Any]) -> Callable[..., Any]:
    def formatter(tokenizer: Any, template: str, system_prompt: str) -> Any:
        return original(tokenizer, "llama-3" if template == "llama-2" else "llama-2", system_prompt)

    return formatter


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.cells:PromptFormatter", _of_another_family):
        yield
