"""Fault 8: stored scores are filed without their method, so that the second cell of a sweep reads the first one's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 8
TITLE = "Two cells of a sweep sharing one scratch path"
CAUGHT_BY = ("weights/own-scratch",)
CELLS = ("snip-set-difference", "wanda-top")


@contextmanager
def injected() -> Iterator[None]:
    """The published code saved every cell of a sweep to one path without its settings (main.py:371)."""
    with replaced("harness.runs.regions:RegionFinder._key", _without_method):
        yield


def _without_method(key_of: Callable[..., dict[str, object]]) -> Callable[..., dict[str, object]]:
    def wrong(*args: Any) -> dict[str, object]:
        return {name: value for name, value in key_of(*args).items() if name != "method"}

    return wrong
