"""Fault 20: perplexity is measured over windows of another length than the spec says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 20
TITLE = "A perplexity window of another length"
CAUGHT_BY = ("scorer/perplexity-windows",)
CELLS = ("planted",)


@contextmanager
def injected() -> Iterator[None]:
    """As in the published code, whose window is as long as the model allows (lib/eval.py:eval_ppl_wikitext)."""
    with replaced("harness.evaluations.perplexity:evaluate", _otherwise):
        yield


def _otherwise(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    return lambda settings, context: evaluate(
        settings.model_copy(update={"window_tokens": 2 * settings.window_tokens}), context
    )
