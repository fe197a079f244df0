"""The region is scored and removed block by block where the spec asks for one pass over the intact model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 1
TITLE = "Scored and pruned in one sweep where one-shot was asked for"
CAUGHT_BY = ("scores/plain-definition",)
CELLS = ("snip-set-difference", "wanda-top")


def _in_one_sweep(original: Callable[..., Any]) -> Callable[..., Any]:
    def settings_of(*arguments: Any) -> Any:
        return original(*arguments).model_copy(update={"schedule": "block_by_block"})

    return settings_of


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.regions:RegionFinder._settings", _in_one_sweep):
        yield
