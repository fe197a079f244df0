"""Masks are numbered one block off: each block gets that of the one before it, the first that of the last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 4
TITLE = "Mask applied to the layer of another block"
CAUGHT_BY = ("mask/selection", "mask/layers")
CELLS = ("snip-set-difference", "wanda-top")


def _one_block_off(original: Callable[..., Any]) -> Callable[..., Any]:
    def select(*arguments: Any) -> Any:
        masks = original(*arguments)
        of_type: dict[str, list[str]] = defaultdict(list)
        for name in masks:
            of_type[name.rsplit(".", 1)[-1]].append(name)
        return {name: masks[names[index - 1]] for names in of_type.values() for index, name in enumerate(names)}

    return select


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.regions:select", _one_block_off):
        yield
