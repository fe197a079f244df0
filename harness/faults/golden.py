"""Faults of golden values and of the comparison with them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from harness.faults.base import VALIDATE, VALIDITY, Fault, Outcome, Trial, refusal
from harness.spec import locations
from harness.spec.golden import GoldenFile
from harness.spec.validation import validate_files

_GOLDEN = GoldenFile.model_validate(
    {
        "variant": "v",
        "benchmark": "faults",
        "source": {"record": "r"},
        "values": [
            {
                "cell": "intact",
                "metric": "perplexity",
                "value": 8.0,
                "tolerance": {"width": 1.0, "basis": "hardware_spread"},
            }
        ],
    }
)


def _not_a_number(_exp: Callable[..., float]) -> Callable[..., float]:
    return lambda loss: math.nan


def _one_value(_load: Callable[..., Any]) -> Callable[..., Any]:
    return lambda variant, benchmark: _GOLDEN


def _not_too_far(_right: Callable[..., bool]) -> Callable[..., bool]:
    """`not difference > width` takes the place of `difference <= width`: a difference of NaN is never too large."""
    return lambda measured, golden, width: not abs((measured or math.nan) - golden) > width


def _shipped() -> str:
    return locations.golden_path("tiny-llama2-chat", "figure-2a").read_text(encoding="utf-8")


def _without_a_metric(trial: Trial) -> Outcome:
    """Validate a shipped golden file that has lost one figure of one cell: nobody would see it change."""
    lines = _shipped().splitlines(keepends=True)
    kept = [line for line in lines if "cell: planted, metric: asr_vanilla," not in line]
    if len(kept) != len(lines) - 1:
        raise ValueError("the shipped golden file has no line of that metric to strike")
    return _validated(trial, "".join(kept))


def _with_a_wide_tolerance(trial: Trial) -> Outcome:
    """Validate a shipped golden file in which a success rate may be anything from 0 to 1: it passes whatever is."""
    wide, found = re.subn(r"(cell: planted, metric: asr_vanilla,.*?width: )[\d.]+", r"\g<1>1.0", _shipped())
    if found != 1:
        raise ValueError("the shipped golden file has no tolerance of that metric to widen")
    return _validated(trial, wide)


def _validated(trial: Trial, text: str) -> Outcome:
    path = trial.folder / "figure-2a.yaml"
    path.write_text(text, encoding="utf-8")
    return refusal(VALIDATE, lambda: validate_files([path]))


FAULTS = (
    Fault(
        id="golden_without_metric",
        number=21,
        title="A golden file without the metric",
        says="asr_vanilla",
        stage="golden",
        caught_by=(VALIDATE,),
        replaces={},
        run=_without_a_metric,
    ),
    Fault(
        id="nan_in_comparison",
        number=21,
        title="NaN in a comparison",
        says="perplexity is nan",
        stage="golden",
        caught_by=(VALIDITY, "scorer/perplexity-figure"),
        replaces={
            "harness.evaluations.perplexity:_exp": _not_a_number,
            "harness.runs.binding:load_golden": _one_value,
            "harness.runs.judgement:within_tolerance": _not_too_far,
        },
        cells=(),
    ),
    Fault(
        id="wide_tolerance",
        number=21,
        title="A tolerance wide enough for anything",
        says="width",
        stage="golden",
        caught_by=(VALIDATE,),
        replaces={},
        run=_with_a_wide_tolerance,
    ),
)
