"""An axis as a reader has it: the labels of its ticks and where they stand give the place of every number."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property

#: Pixels (points of the SVG) by which a tick may stand beside its number: labels have as many digits as ticks need.
TICK_TOLERANCE = 0.3
#: By how much the middle of a label may: it is known by the number of its letters alone.
LABEL_TOLERANCE = 6.0
#: `10^{-2}`, as an axis of powers is labelled.
_POWER = re.compile(r"10\^\{(-?\d+)\}")
#: What stands beside an axis whose labels are multiplied, or begin elsewhere: `1e-5`, `+2.5`, `1e-5+2.5`.
_BESIDE = re.compile(r"(?:1e(?P<power>-?\d+))?(?P<begin>[+-]\d[\d.]*(?:e-?\d+)?)?")


@dataclass
class Tick:
    """A label, and where its mark stands along the axis; None of one that has no mark. words_at: where the label is."""

    label: str = ""
    place: float | None = None
    words_at: float | None = None


@dataclass
class Axis:
    """ticks: as they are drawn. texts: what else stands beside it, its name and what multiplies its labels."""

    ticks: list[Tick] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called."""
        return next((text for text in self.texts if not _beside(text)), "")

    @cached_property
    def logarithmic(self) -> bool:
        """Whether its labels are powers."""
        return any(_POWER.search(tick.label) for tick in self.ticks)

    @cached_property
    def _known(self) -> list[tuple[float, float]]:
        """(number, place) of the ticks with a number, that of an axis of powers as the power."""
        power, begin = 1.0, 0.0
        for match in filter(None, map(_beside, self.texts)):
            power, begin = 10.0 ** float(match["power"] or 0), float(match["begin"] or 0)
        found = []
        for tick in self.ticks:
            number = _number(tick.label)
            if number is not None and tick.place is not None:
                found.append((number if self.logarithmic else begin + power * number, tick.place))
        return found

    def at(self, number: float) -> float | None:
        """Where a number stands; None where the ticks do not tell it."""
        if self.logarithmic:
            number = math.log10(number) if number > 0 else math.nan
        if not self._known or not math.isfinite(number):
            return None
        (first, begin), (last, end) = self._known[0], self._known[-1]
        if first == last:
            return begin if number == first else None
        return begin + (number - first) / (last - first) * (end - begin)

    def number_at(self, place: float) -> float:
        """What stands at a place; NaN where the ticks do not tell it."""
        if not self._known or self._known[0][1] == self._known[-1][1]:
            return math.nan
        (first, begin), (last, end) = self._known[0], self._known[-1]
        number = first + (place - begin) / (end - begin) * (last - first)
        return 10**number if self.logarithmic else number

    def problem(self) -> str | None:
        """What is wrong with the ticks: those of one axis lie on one line, or its logarithm, and have numbers or none.

        An axis of words has no numbers at all.
        """
        for tick in self.ticks:
            place, words = tick.place, tick.words_at
            if tick.label and place is not None and words is not None and abs(words - place) > LABEL_TOLERANCE:
                return f"the label {tick.label!r} stands beside another place than its tick"
        labels = [tick.label for tick in self.ticks if tick.label]
        odd = [label for label in labels if _number(label) is None]
        if odd and len(odd) < len(labels):
            return f"the tick {odd[0]!r} has no number"
        for number, place in self._known:
            where = self.at(10**number if self.logarithmic else number)
            if where is None or abs(where - place) > TICK_TOLERANCE:
                shown = f"10^{number:g}" if self.logarithmic else f"{number:g}"
                return f"the tick {shown} stands where {self.number_at(place):.4g} is"
        return None


def _number(label: str) -> float | None:
    label = label.replace("\N{MINUS SIGN}", "-")
    power = _POWER.search(label)
    try:
        return float(power[1] if power else label)
    except ValueError:
        return None


def _beside(text: str) -> re.Match[str] | None:
    return _BESIDE.fullmatch(text.replace("\N{MINUS SIGN}", "-")) if text else None
