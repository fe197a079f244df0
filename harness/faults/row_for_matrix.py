"""The comparison group of the spec is not looked at: weights always compete within their row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 5
TITLE = "Row comparison where the matrix was asked for"
CAUGHT_BY = ("mask/selection", "mask/share")
CELLS = ("block-by-block",)


def _by_row(original: Callable[..., Any]) -> Callable[..., Any]:
    def select(region: Any, settings: Any, *others: Any) -> Any:
        return original(region, settings.model_copy(update={"comparison_group": "row"}), *others)

    return select


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.regions:select", _by_row):
        yield
