"""Numbers, parameters and model outputs as the report writes them."""

from __future__ import annotations

import math
from typing import Any

from harness.formulas.rounding import rounded
from harness.shown import passed_on
from harness.spec.cell import key_path
from harness.spec.measurement import Measurement

#: The longest part of a completion that is shown.
SHOWN_CHARACTERS = 600


def visible(text: str) -> str:
    """A model's text as it can be read safely: cut, and spelled out."""
    return passed_on(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …")


def shown_number(measured: Measurement | None) -> str:
    """`0.970`, or why there is no number. A published value (n = 0) has no more digits than it was printed with."""
    if measured is None:
        return "-"
    if measured.value is None or not math.isfinite(measured.value):
        return "no value"
    if measured.n == 0:
        return max(f"{measured.value:.2f}", f"{measured.value:.6g}", key=len)
    return rounded(measured.value)


def shown_interval(measured: Measurement) -> str:
    """`[0.915, 0.990]`; empty where there is none."""
    return "" if measured.interval is None else f"[{', '.join(map(rounded, measured.interval))}]"


def short_name(grid_key: str) -> str:
    """`fraction` for `fine_tuning.frozen.fraction`: as cell ids have it, in words."""
    return key_path(grid_key)[-1].replace("_", " ")


def source_words(source: dict[str, Any]) -> str:
    """`figure 2a, table 6a, section 4.1`: where in its work a benchmark comes from."""
    words = ", ".join(f"{kind} {source[kind]}" for kind in ("figure", "table", "section") if source.get(kind))
    return words.replace("section App.", "appendix")


def shown_words(name: str, measured: Measurement) -> str:
    """`ASR vanilla 0.970 [0.915, 0.990]`: a measurement in one line, with whether it is invalid."""
    words = f"{name} {shown_number(measured)} {shown_interval(measured)}".strip()
    return words if measured.valid else f"{words} INVALID"
