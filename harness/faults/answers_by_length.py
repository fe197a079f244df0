"""Of the figures that lm-eval gives for a task, another one is read: answers are chosen by likelihood per character."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced

NUMBER = 22
TITLE = "Zero-shot accuracy normalised by the length of the answer (acc_norm)"
CAUGHT_BY = ("scorer/zero-shot-accuracy",)
CELLS = ()


def _by_character(right: Callable[..., Any]) -> Callable[..., Any]:
    def likelihoods(self: Any, requests: Any, **settings: Any) -> Any:
        found = right(self, requests, **settings)
        return [
            (likelihood / len(answer), is_likeliest)
            for (likelihood, is_likeliest), ((_, answer), _, _) in zip(found, requests, strict=True)
        ]

    return likelihoods


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    target = "harness.evaluations._engine_language_model:EngineLanguageModel._loglikelihood_tokens"
    with replaced(target, _by_character):
        yield
