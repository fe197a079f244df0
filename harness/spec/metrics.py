"""Which metrics a spec's evaluations measure, and which its claims speak of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness import plugins
from harness.spec.claim import Claim, Reference
from harness.spec.common import KeyPath

#: What a cell has besides, where it removes a region and the variant has a planted one.
CELL_METRICS = ("planted_precision", "planted_recall")


def repeated_metrics(evaluations: Mapping[int, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Metrics that two evaluations would give, with the key of the second: their figures could not be told apart."""
    owners = dict.fromkeys(CELL_METRICS, "every cell with a region")
    for index, evaluation in evaluations.items():
        shared = next((metric for metric in evaluation.metrics if metric in owners), None)
        if shared is not None:
            yield (
                ("evaluations", index),
                (
                    f"{evaluation.name} measures {shared!r}, as {owners[shared]} does; "
                    "expected each metric once: give the evaluation another name"
                ),
            )
        owners = {**dict.fromkeys(evaluation.metrics, evaluation.name), **owners}


def unknown_metrics(evaluations: Mapping[int, Any], claims: Mapping[int, Claim]) -> Iterator[tuple[KeyPath, str]]:
    """Metrics that claims speak of and no evaluation measures, each with its key in the file."""
    known = {*CELL_METRICS, *(metric for evaluation in evaluations.values() for metric in evaluation.metrics)}
    prefixes = tuple(prefix for evaluation in evaluations.values() for prefix in evaluation.metric_prefixes)
    for key, metric, _ in looked_up(claims):
        if key[-1] == "metric" and metric not in known and not metric.startswith(prefixes):
            yield key, f"no evaluation measures {metric!r}; {plugins.suggestion(metric, known)}"


def looked_up(claims: Mapping[int, Claim]) -> Iterator[tuple[KeyPath, str, tuple[str, ...]]]:
    """Every metric that a condition or its bound looks up, and the cells or groups in which it does.

    The key is that of the metric, or, where a bound names only its cell, of that.
    """
    for number, claim in claims.items():
        for index, condition in enumerate(claim.conditions):
            key = ("claims", number, "conditions", index)
            yield (*key, "metric"), condition.metric, claim.cells
            if isinstance(condition.bound, Reference):
                side = "at_least" if condition.at_least is not None else "at_most"
                cells = claim.cells if condition.bound.cell is None else (condition.bound.cell,)
                named = "metric" if condition.bound.metric is not None else "cell"
                yield (*key, side, named), condition.bound.metric or condition.metric, cells
