"""The scores of the two calibration sets are handed over in the wrong order: utility as safety, safety as utility."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 3
TITLE = "Safety and utility scores swapped"
CAUGHT_BY = ("scores/plain-definition", "scores/selected-region")
CELLS = ("snip-set-difference",)


def _swapped(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda region: original(region)[::-1]


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.regions:_data_of", _swapped):
        yield
