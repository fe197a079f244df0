"""A record as a report shows it: figures by cell and by the names that they are called."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from harness.reports.results import results_of_run
from harness.shown import passed_on
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult, RunRecord

#: Titles of figures and tables, and the metrics that they stand for.
TITLES = {
    "ASR vanilla": "asr_vanilla",
    "ASR adv_suffix": "asr_adv_suffix",
    "ASR adv_decoding": "asr_adv_decoding",
    "Accuracy (mean)": "accuracy_mean",
    "accuracy": "accuracy_mean",
    "zero-shot accuracy (mean)": "accuracy_mean",
}
_NO_NUMBER = ("-", "no value")


class Misreported(RuntimeError):
    """A report that shows something else than its records say: a fault of ours, whoever made the records."""


@dataclass(frozen=True)
class Known:
    """A record, and its measurements by cell and the name that they are shown by: a page asks for thousands."""

    record: RunRecord

    @property
    def id(self) -> str:
        """The run's."""
        return self.record.id

    @property
    def cells(self) -> Sequence[CellResult]:
        """All of the run."""
        return self.record.cells

    def cell(self, name: str) -> CellResult | None:
        """The one of this id, if there is one."""
        return self._by_id.get(name)

    @functools.cached_property
    def _by_id(self) -> dict[str, CellResult]:
        return {cell.id: cell for cell in self.cells}

    @functools.cached_property
    def measured(self) -> dict[str, dict[str, Measurement]]:
        """By id of cell and metric."""
        return {cell.id: {each.metric: each for each in cell.measurements} for cell in self.cells}

    @functools.cached_property
    def declared(self) -> dict[str, dict[str, Any]]:
        """What the spec says of every cell, its `region` and `fine_tuning` among the keys."""
        return {cell.id: cell.declared for cell in results_of_run(self.record).cells}

    @functools.cached_property
    def figures(self) -> dict[tuple[str, str], list[Measurement]]:
        """By id of cell and name."""
        found: dict[tuple[str, str], list[Measurement]] = {}
        for cell in self.cells:
            for measured in cell.measurements:
                for name in shown_names(measured.metric):
                    found.setdefault((cell.id, name), []).append(measured)
        return found

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """Those of any cell."""
        return frozenset(name for _, name in self.figures)

    @functools.cached_property
    def ambiguous(self) -> frozenset[str]:
        """Names that several metrics are shown by, of which a cell may lack one: none of ours, some of strangers'."""
        metrics: dict[str, set[str]] = {}
        for (_, name), found in self.figures.items():
            metrics.setdefault(name, set()).update(measured.metric for measured in found)
        return frozenset(name for name, several in metrics.items() if len(several) > 1)


@functools.lru_cache(maxsize=10_000)
def shown_names(metric: str) -> frozenset[str]:
    """How a metric is called, in columns and in rows: what must not be passed on is spelled out before or after."""
    names = (on_one_line(metric), on_one_line(metric.replace("_", " ")))
    return frozenset(name.replace("_", " ") for name in names)


def on_one_line(text: str) -> str:
    """Text of a record as it is shown."""
    return " ".join(passed_on(text).split())


def shows(measured: Measurement | None, number: str, interval: str, invalid: bool) -> bool:
    """Whether a measurement is what is shown: its value, interval (`[0.1, 0.2]`, or nothing), and whether it counts."""
    if measured is None:
        return number == "-" and not interval and not invalid
    if measured.value is None or not math.isfinite(measured.value):
        shown = number in _NO_NUMBER
    else:
        shown = near(number, measured.value)
    ends: Sequence[str] = interval.strip().strip("[]").split(", ") if interval.strip() else ()
    alike = len(ends) == len(measured.interval or ()) and all(map(near, ends, measured.interval or ()))
    return shown and alike and invalid is not measured.valid


def near(shown: str, value: float) -> bool:
    """Whether a number is shown, rounded to the digits that there are."""
    try:
        number = Decimal(shown)
    except InvalidOperation:
        return not math.isfinite(value) and shown == f"{value}"
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not math.isfinite(value):
        return shown == f"{value}"
    return abs(float(number) - value) <= 0.5000001 * 10.0**exponent


def told(figures: Sequence[Measurement]) -> str:
    """The first, in words."""
    if not figures:
        return "none"
    measured = figures[0]
    value = "no value" if measured.value is None else f"{measured.value:.6g}"
    return value if measured.valid else f"{value}, INVALID"
