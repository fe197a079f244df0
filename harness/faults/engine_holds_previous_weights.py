"""Fault 6: the engine has its own copy of the weights, and gets a cell's only after the cell was evaluated."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from harness.engines.hf import HfEngine
from harness.faults.seam import replaced
from harness.models.loading import LoadedModel

NUMBER = 6
TITLE = "Engine still holding the previous cell's weights"
CAUGHT_BY = ("engine/weights",)
CELLS = ("planted", "wanda-top")


@contextmanager
def injected() -> Iterator[None]:
    """The weights are sent to the engine behind the evaluations instead of before them."""
    with (
        replaced("harness.engines.hf:make", lambda make: lambda loaded: _on_a_copy(make, loaded)),
        replaced("harness.runs.cells:_evaluate", lambda evaluate: lambda *args: _sent_too_late(evaluate, *args)),
    ):
        yield


def _on_a_copy(make: Callable[[LoadedModel], HfEngine], loaded: LoadedModel) -> HfEngine:
    return make(replace(loaded, model=copy.deepcopy(loaded.model)))


def _sent_too_late(evaluate: Callable[..., Any], bench: Any, *args: Any) -> Any:
    results = evaluate(bench, *args)
    bench.engine._model.load_state_dict(bench.loaded.model.state_dict())
    return results
