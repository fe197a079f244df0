"""No hook was set in the first block: its scores stay at 0, and of equal scores a row's first are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.faults.seam import replaced

NUMBER = 22
TITLE = "A block that was not scored"
CAUGHT_BY = ("scores/every-block",)
CELLS = ("wanda-top",)


def _without_the_first_block(right: Callable[..., Any]) -> Callable[..., Any]:
    def finite_scores(*arguments: Any) -> Any:
        return {
            name: torch.zeros_like(score) if ".layers.0." in name else score
            for name, score in right(*arguments).items()
        }

    return finite_scores


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.regions:_finite_scores", _without_the_first_block):
        yield
