"""The engine takes the first token for one that it adds by itself, and does not: prompts begin without BOS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from harness.faults.seam import replaced

NUMBER = 11
TITLE = "No BOS"
CAUGHT_BY = ("prompts/one-bos",)
CELLS = ()


def _without_bos(original: Callable[..., Any]) -> Callable[..., Any]:
    def generate(self: Any, requests: Any) -> Any:
        return original(self, [replace(request, prompt_ids=request.prompt_ids[1:]) for request in requests])

    return generate


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.engines.hf:HfEngine.generate", _without_bos):
        yield
