"""Where a figure draws what it draws: points, their intervals, lines and levels, held against the record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.reports.read_back.bars import of_heads, of_shares
from harness.reports.read_back.drawn import Figure, Panel, Point
from harness.reports.read_back.known import TITLES, Known, shows, told
from harness.reports.read_back.meanings import (
    ACCURACY,
    ACROSS,
    FROZEN,
    Place,
    Said,
    across,
    across_of_cell,
    measured,
    metrics_of,
    plainly,
    said_by,
    upwards,
)
from harness.reports.read_back.scales import Axis

#: Points of the SVG by which a mark may lie beside its number: half a pixel of a page at its own size.
TOLERANCE = 0.5
Spot = tuple[float, float]
Way = Literal["x", "y"]


@dataclass(frozen=True)
class Placed:
    """A point whose place is known, and the numbers of that place."""

    spot: Spot
    x: Place
    y: Place

    @property
    def numbers(self) -> tuple[tuple[Way, Place], tuple[Way, Place]]:
        """By axis."""
        return ("x", self.x), ("y", self.y)


def of_figure(figure: Figure, record: Known) -> Iterator[str]:
    """In words, what a figure of the record's page says or draws and is not so."""
    for panel in figure.panels:
        row = figure.row_name(panel)
        name = f"the panel {panel.title!r}"
        for which, axis in panel.axes.items():
            if (problem := axis.problem()) is not None:
                yield f"on the {which} axis of {name}, {problem}"
        said = [(point, cells) for point in panel.points if (cells := said_by(point.text))]
        for point, cells in said:
            yield from _says(point, cells, panel, row, record)
        if panel.axes["x"].name in ACROSS and panel.box is not None:
            yield from _of_panel(panel, row, name, said, record)
        yield from of_heads(panel, record)
    yield from of_shares(figure, record)


def _says(point: Point, cells: Sequence[Said], panel: Panel, row: str, record: Known) -> Iterator[str]:
    """A point of this run leads to its cell, and says that cell's figures."""
    for number, said in enumerate(cells):
        if not said.ours or record.cell(said.cell) is None:
            continue
        if number == 0 and point.href is not None and point.href != f"#{point.page}--{said.cell}":
            yield f"a point of {said.cell} leads to {point.href}"
        if not said.figures and len(cells) == 1:
            yield f"a point of {said.cell} says no figure in the panel {panel.title!r}"
        for shown in said.figures:
            metrics = metrics_of(said, shown.title, panel.title, row, record)
            if metrics is None:
                continue
            known = measured(said, metrics, record)
            if not any(shows(each, shown.number, shown.interval, shown.invalid) for each in known):
                name = metrics[0].replace("_", " ") if metrics else f"{shown.title} in the panel {panel.title!r}"
                beside = f"{' ' if shown.interval else ''}{shown.interval}{' INVALID' if shown.invalid else ''}"
                yield f"{name} of {said.cell} is {shown.number}{beside}; the record has {told(known)}"


def _of_panel(
    panel: Panel, row: str, name: str, points: Sequence[tuple[Point, Sequence[Said]]], record: Known
) -> Iterator[str]:
    """Everything that is drawn in a panel of which it is known what it shows."""
    placed: list[Placed] = []
    understood = len(points) == len(panel.points)
    for point, cells in points:
        yield from _belongs(cells[0], panel, row, name)
        x, y = across(panel.axes["x"].name, cells[0], record), upwards(cells, panel.title, row, record)
        wanted = None if x is None or y is None else (panel.axes["x"].at(x.number), panel.axes["y"].at(y.number))
        if x is None or y is None or wanted is None or None in wanted:
            understood = False
        elif point.places and (_is_seen(panel, wanted) or _is_seen(panel, point.places[0])):
            placed.append(Placed(point.places[0], x, y))
            yield from _lies(point, cells, placed[-1], panel, name)
        elif _is_seen(panel, wanted):
            yield f"a point of {cells[0].cell} is not drawn in {name}"
        else:
            understood = False
    if understood:
        yield from _intervals(placed, panel, name)
        yield from _lines(placed, panel, row, name, record)
    yield from _discs(panel, name, record)
    yield from _absent({each.cell for _, cells in points for each in cells}, panel, row, name, record)


def _belongs(said: Said, panel: Panel, row: str, name: str) -> Iterator[str]:
    """Whether the point stands in a panel and a row of its own figure and model."""
    around = f"{row} {panel.title}"
    title = said.figures[0].title if said.figures else ""
    if title in TITLES and title not in (panel.title, row):
        yield f"{title} of {said.cell} is drawn in {name}"
    if plainly(said.owner) not in plainly(around) if not said.ours else "published: " in around:
        yield f"{said.cell} ({said.owner}) is drawn in {name} of {row or 'no model'}"


def _lies(point: Point, cells: Sequence[Said], placed: Placed, panel: Panel, name: str) -> Iterator[str]:
    """Whether the point lies at its numbers, and is hollow where it does not count."""
    who = " and ".join(each.cell for each in cells)
    for (which, place), seen in zip(placed.numbers, placed.spot, strict=True):
        axis = panel.axes[which]
        if not _is_at(axis, place, seen):
            yield f"{who} is drawn at {which} = {axis.number_at(seen):.4g} of {name}, and not at {place.number:.6g}"
    if point.hollow is all(each.complete for each in cells):
        yield f"{who} is drawn {'hollow' if point.hollow else 'filled'} in {name}"


def _is_at(axis: Axis, place: Place, seen: float) -> bool:
    """Whether a place of the drawing is that of a number; where the ticks do not tell it, any is."""
    wanted = axis.at(place.number)
    if wanted is None:
        return True
    rounded = axis.at(place.number + place.rounding)
    return abs(seen - wanted) <= TOLERANCE + (abs(rounded - wanted) if rounded is not None else 0.0)


def _intervals(placed: Sequence[Placed], panel: Panel, name: str) -> Iterator[str]:
    """Every point has a bar for each of its intervals, from end to end, and there is no other bar."""
    left = [_within(panel, corners) for corners in panel.intervals if corners]
    for each in placed:
        for which, place in each.numbers:
            bar = _bar(each, which, place, panel)
            if bar is None:
                continue
            found = next((seen for seen in left if all(map(_close, seen, bar))), None)
            if found is not None:
                left.remove(found)
            elif not _close(*bar):
                yield f"no bar reaches from {place.interval} along {which} in {name}"
    for seen in left:
        if not _close(seen[0], seen[-1]):
            yield f"a bar at {_numbers(panel, seen[0])} of {name} is no point's interval"


def _bar(each: Placed, which: Way, place: Place, panel: Panel) -> list[Spot] | None:
    """The two ends of an interval that holds its point, within the frame."""
    if place.interval is None:
        return None
    axis = panel.axes[which]
    low, high = (axis.at(end) for end in (min(place.interval[0], place.number), max(place.interval[1], place.number)))
    if low is None or high is None:
        return None
    x, y = each.spot
    return _within(panel, [(low, y), (high, y)] if which == "x" else [(x, low), (x, high)])


def _is_seen(panel: Panel, wanted: tuple[float | None, float | None]) -> bool:
    """Whether a place is known, and lies within the frame."""
    x, y = wanted
    return x is not None and y is not None and _close((x, y), _within(panel, [(x, y)])[0])


def _within(panel: Panel, corners: Sequence[Spot]) -> list[Spot]:
    """What is seen of them."""
    left, top, right, bottom = panel.box or (-math.inf, -math.inf, math.inf, math.inf)
    return [(min(max(x, left), right), min(max(y, top), bottom)) for x, y in corners]


def _close(first: Spot, second: Spot) -> bool:
    return math.dist(first, second) <= TOLERANCE


def _numbers(panel: Panel, spot: Spot) -> str:
    axes = panel.axes["x"], panel.axes["y"]
    return ", ".join(f"{axis.number_at(place):.4g}" for axis, place in zip(axes, spot, strict=True))


def _lines(placed: Sequence[Placed], panel: Panel, row: str, name: str, record: Known) -> Iterator[str]:
    """A line goes from point to point; one across the whole panel is the level of a model that is as it was."""
    left, _, right, _ = panel.box or (0.0, 0.0, 0.0, 0.0)
    for corners in panel.lines:
        if (
            len(corners) == 2
            and _close((left, corners[0][1]), corners[0])
            and _close((right, corners[0][1]), corners[1])
        ):
            if "published: " not in f"{row} {panel.title}" and corners[0][1] not in _Levels(panel, row, record):
                yield f"a level at {panel.axes['y'].number_at(corners[0][1]):.4g} of {name} is no intact model's"
        elif lost := next((each for each in corners if not any(_close(each, p.spot) for p in placed)), None):
            yield f"a line goes through {_numbers(panel, lost)} of {name}, where no point is"


@dataclass(frozen=True)
class _Levels:
    """Where the figures of models that are as they were stand in a panel."""

    panel: Panel
    row: str
    record: Known

    def __contains__(self, seen: float) -> bool:
        metric = TITLES.get(self.panel.title, TITLES.get(self.row, ""))
        for cell, declared in self.record.declared.items():
            known = self.record.measured[cell].get(metric)
            if declared.get("region") or declared.get("fine_tuning") or known is None or known.value is None:
                continue
            if _is_at(self.panel.axes["y"], Place(known.value), seen):
                return True
        return False


def _discs(panel: Panel, name: str, record: Known) -> Iterator[str]:
    """A disc behind the points is a golden value of both figures."""
    golden = {(check.cell, check.metric): check.golden for check in record.record.checks if panel.discs}
    for seen in panel.discs:
        for cell in record.cells:
            x, y = (golden.get((cell.id, TITLES.get(title, ""))) for title in (ACCURACY, panel.title))
            if x is not None and y is not None and all(map(_is_at, panel.axes.values(), (Place(x), Place(y)), seen)):
                break
        else:
            yield f"a disc at {_numbers(panel, seen)} of {name} is no golden value"


def _absent(drawn: set[str], panel: Panel, row: str, name: str, record: Known) -> Iterator[str]:
    """Cells of the run that have both numbers of a point, and none."""
    axis = panel.axes["x"].name
    if panel.title not in TITLES or axis == FROZEN or "published: " in row:
        return
    for cell in record.cells:
        known = record.measured[cell.id].get(TITLES[panel.title])
        has = known is not None and known.value is not None and math.isfinite(known.value)
        if has and cell.id not in drawn and across_of_cell(axis, cell.id, record) is not None:
            yield f"{cell.id} is not drawn in {name}"
