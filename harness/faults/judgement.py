"""Faults of what judges a run: limits of validity, classes of texts, canaries, claims, the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def _nothing_is_unfit(_right: Callable[..., Any]) -> Callable[..., Any]:
    """A rate over texts that are none counts as any other."""
    return lambda completions, share: None


def _a_common_word(right: Callable[..., Any]) -> Callable[..., Any]:
    """A word that stands in any text is taken for a refusal."""
    return lambda text: " is " in text or right(text)


def _before_the_last_cell(right: Callable[..., Any]) -> Callable[..., Any]:
    """The record is written before the last cell is done."""

    def judge(bound: Any, run_id: str, results: Sequence[Any], *rest: Any) -> Any:
        return right(bound, run_id, results[:-1], *rest)

    return judge


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
    Fault(
        id="nothing_is_unfit",
        number=UNLISTED,
        title="Rates over degenerate texts that count as any other",
        says="valid",
        stage="judgement",
        caught_by=(VERIFICATION,),
        replaces={"harness.runs.judging:invalid_reason": _nothing_is_unfit},
        cells=("wanda-top",),
    ),
    Fault(
        id="common_word_refuses",
        number=UNLISTED,
        title="A common word taken for a refusal",
        says="class",
        stage="judgement",
        caught_by=(VERIFICATION,),
        replaces={"harness.validity.classification:is_refusal": _a_common_word},
        cells=("planted",),
    ),
    Fault(
        id="before_the_last_cell",
        number=UNLISTED,
        title="The record written before the last cell was done",
        says="cell",
        stage="judgement",
        caught_by=(VERIFICATION,),
        replaces={"harness.runs.pipeline:judge": _before_the_last_cell},
        cells=("planted",),
    ),
)
