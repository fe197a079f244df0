"""A mask is laid out as inputs by outputs; in square layers nothing fails, and other weights are removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 4
TITLE = "Mask transposed"
CAUGHT_BY = ("mask/selection", "mask/layers")
CELLS = ("snip-set-difference", "wanda-top")


def _transposed(original: Callable[..., Any]) -> Callable[..., Any]:
    def select(*arguments: Any) -> Any:
        return {
            name: mask.T.contiguous() if mask.shape[0] == mask.shape[1] else mask
            for name, mask in original(*arguments).items()
        }

    return select


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.regions:select", _transposed):
        yield
