"""Texts come back in the order in which they were batched, one place off the prompts that they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 22
TITLE = "Texts handed back to other prompts of the batch"
CAUGHT_BY = ("text/own-prompt",)
CELLS = ()


def _one_place_off(right: Callable[..., Any]) -> Callable[..., Any]:
    def generate_batch(self: Any, requests: Any) -> Any:
        outputs = right(self, requests)
        return [*outputs[1:], *outputs[:1]]

    return generate_batch


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.engines.hf:HfEngine._generate_batch", _one_place_off):
        yield
