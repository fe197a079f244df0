"""Scores are negated before they are kept, as the published code does under --neg_prune, and the largest are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 2
TITLE = "Scores with the sign flipped"
CAUGHT_BY = ("scores/sign", "scores/plain-definition")
CELLS = ("snip-set-difference", "wanda-top")


def _negated(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: {name: -score for name, score in original(*arguments).items()}


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.regions:_finite_scores", _negated):
        yield
