"""The engine does not hear of the temperature: all samples of a prompt are its greedy text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from harness.faults.seam import replaced

NUMBER = 22
TITLE = "Sampled texts decoded greedily"
CAUGHT_BY = ("text/own-prompt",)
CELLS = ()


def _greedy(right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, requests: right(self, [replace(request, temperature=0.0) for request in requests])


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.engines.hf:HfEngine.generate", _greedy):
        yield
