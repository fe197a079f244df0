"""The template writes a BOS and the engine adds another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from harness.faults.seam import replaced

NUMBER = 11
TITLE = "Two BOS"
CAUGHT_BY = ("prompts/one-bos",)
CELLS = ()


def _with_two_bos(original: Callable[..., Any]) -> Callable[..., Any]:
    def generate(self: Any, requests: Any) -> Any:
        doubled = [replace(each, prompt_ids=(each.prompt_ids[0], *each.prompt_ids)) for each in requests]
        return original(self, doubled)

    return generate


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.engines.hf:HfEngine.generate", _with_two_bos):
        yield
