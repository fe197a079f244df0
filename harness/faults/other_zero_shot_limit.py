"""Fault 20: zero-shot accuracy is measured on other items than the spec says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 20
TITLE = "Zero-shot tasks with another limit"
CAUGHT_BY = ("scorer/zero-shot-items",)
CELLS = ("planted",)


@contextmanager
def injected() -> Iterator[None]:
    """As in the published code, which has one limit for one figure and another for the next (main.py:569)."""
    with replaced("harness.evaluations.zero_shot:evaluate", _otherwise):
        yield


def _otherwise(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    return lambda settings, context: evaluate(
        settings.model_copy(update={"limit": 2 * (settings.limit or 100)}), context
    )
