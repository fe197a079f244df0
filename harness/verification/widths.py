"""How far figures may lie from golden values, derived a second time: from n, the value, and the texts of the run.

Constants are written out here again: one that was changed where widths are made is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from harness.spec.benchmark import BenchmarkSpec
from harness.spec.measurement import Completion, Measurement
from harness.spec.result import CellResult

#: Standard deviations of a 95% interval.
_NORMAL_95 = 1.959963984540054
#: Nats between a greedy token and the next at which rounding decides, by dtype.
_NEAR_TIE = {"float32": 0.002, "bfloat16": 0.5, "float16": 0.0625}
_HARDWARE, _FLIPPED, _LEAST = 0.02, 3, 1e-6
_SUM_OF_INTACT, _SUM_OF_EDITED = 1e-5, 3e-3
#: Widths are written with three digits, or rounded to six places.
_ROUNDED = 0.006

Ties = Mapping[tuple[str, str], int]
#: Width and basis.
_Width = tuple[float, str]


def near_ties(texts: Mapping[str, Iterable[Completion]], spec: BenchmarkSpec, dtype: str) -> Ties:
    """By (cell, metric) the number of prompts with a greedy token that rounding may turn. texts: by cell."""
    limit, found = _NEAR_TIE[dtype], dict[tuple[str, str], int]()
    greedy = {
        entry.name: entry.metrics for entry in spec.evaluations if entry.generates_texts and not entry.temperature
    }
    for cell, several in texts.items():
        near: dict[str, set[int]] = {name: set() for name in greedy}
        for text in several:
            margins = [c[1] - c[3] for c in text.choices if c[1] is not None and c[3] is not None]
            if text.evaluation in near and margins and min(margins) <= limit:
                near[text.evaluation].add(text.prompt_index)
        found |= {(cell, metric): len(near[name]) for name, metrics in greedy.items() for metric in metrics}
    return found


def wrong_widths(written: Mapping[str, Any], measured: Measurement, cell: CellResult, ties: int | None) -> list[str]:
    """Of a value in a golden file, in words, what is not as it follows from the figure of the record that gave it.

    written: the value as the file has it. ties: None where nobody counted them; then at least `_FLIPPED` is believed.
    """
    value = float(written["value"])
    reach = max((abs(each - (measured.value or 0.0)) for each in measured.neighbours or ()), default=0.0)
    wide, basis = _replication(value, measured, reach)
    found = _other(written.get("tolerance"), (wide, basis), "tolerance")
    found += _other(written.get("regression"), _regression(value, measured, cell, ties, wide, written), "regression")
    jump = reach > max(_LEAST, _HARDWARE * abs(value)) and reach + _HARDWARE * abs(value) >= abs(value)
    if jump is not bool(written.get("not_compared")):
        found.append(f"is {'' if written.get('not_compared') else 'not '}left uncompared")
    return found


def _is_share(value: float, measured: Measurement) -> bool:
    return measured.standard_error is not None and 0.0 <= value <= 1.0


def _replication(value: float, measured: Measurement, reach: float) -> _Width:
    usual = _HARDWARE * abs(value)
    if _is_share(value, measured):
        centre = (value * measured.n + 2) / (measured.n + 4)
        return _NORMAL_95 * math.sqrt(centre * (1 - centre) / (measured.n + 4)), "binomial"
    if measured.resolution is not None:
        return max(usual, _FLIPPED * measured.resolution), "hardware_spread"
    if usual < reach < abs(value) - usual:
        return reach + usual, "order_statistics"
    return max(usual, _LEAST), "hardware_spread"


def _regression(
    value: float, measured: Measurement, cell: CellResult, ties: int | None, wide: float, written: Mapping[str, Any]
) -> _Width | None:
    if _is_share(value, measured):
        told = (written.get("regression") or {}).get("note") or ""
        flipped = max(_FLIPPED, ties) if ties is not None else max(_FLIPPED, int(told.split(" ")[0] or 0))
        return min(flipped / measured.n, wide), "near_ties"
    if measured.resolution is not None or measured.neighbours or cell.fine_tuning is not None:
        return None
    share = _SUM_OF_INTACT if cell.receipt is None else _SUM_OF_EDITED
    return max(share * abs(value), _LEAST), "hardware_spread"


def _other(told: Mapping[str, Any] | None, own: _Width | None, name: str) -> list[str]:
    if told is None or own is None:
        return [] if told is own else [f"has {'no' if told is None else 'a'} {name}"]
    width, basis = own
    if told.get("basis") != basis:
        return [f"has a {name} by {told.get('basis')}, where it follows from {basis}"]
    if abs(told["width"] - width) > max(1.01 * _LEAST, _ROUNDED * width):
        return [f"has a {name} of {told['width']:g}, where {width:.6g} follows"]
    return []
