"""Faults of what judges a run: limits of validity, canaries, claims."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from harness.faults.base import UNLISTED, VERIFICATION, Fault


def _twice_the_likelihood(right: Callable[..., Any]) -> Callable[..., Any]:
    """Texts may be twice as unlikely as the intact model's own."""

    def limits(samples: Any) -> Any:
        own = right(samples)
        return replace(own, mean_nll=2 * own.mean_nll, worst_window_nll=2 * own.worst_window_nll)

    return limits


def _left_as_it_is(_right: Callable[..., Any]) -> Callable[..., Any]:
    """The model that should be broken is the intact one."""
    return lambda model, seed: nullcontext()


def _any_cell_is_enough(right: Callable[..., Any]) -> Callable[..., Any]:
    """A claim on all cells is supported by one of them."""
    return lambda claim, cells: right(claim.model_copy(update={"quantifier": "any"}), cells)


FAULTS = (
    Fault(
        id="limits_twice_as_wide",
        number=UNLISTED,
        title="Limits of validity twice as wide as the intact model's texts give",
        says="limit",
        stage="judgement",
        caught_by=(VERIFICATION,),
        replaces={"harness.runs.thresholds:calibrate": _twice_the_likelihood},
        cells=("wanda-top",),
    ),
    Fault(
        id="canary_left_as_it_is",
        number=UNLISTED,
        title="The canary of a broken model asked of the intact one",
        says="shuffled",
        stage="judgement",
        caught_by=("canary/shuffled",),
        replaces={"harness.runs.canaries:rows_shuffled": _left_as_it_is},
        cells=(),
    ),
    Fault(
        id="any_cell_is_enough",
        number=UNLISTED,
        title="A claim on all cells supported by one of them",
        says="claim",
        stage="judgement",
        caught_by=(VERIFICATION,),
        replaces={"harness.runs.claims:evaluate_claim": _any_cell_is_enough},
        cells=("planted",),
    ),
)
