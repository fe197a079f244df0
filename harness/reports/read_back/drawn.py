"""A figure as a reader has it: panels with their axes, and where points, bars and lines are, from the SVG alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from harness.reports.read_back.scales import Axis, Tick

#: (left, top, right, bottom), in the points of the SVG.
Box = tuple[float, float, float, float]
#: The kind of a group, from its id: `f0a1b2c3d-LineCollection_7`.
_KIND = re.compile(r"(?:f[0-9a-f]{8}-)?([A-Za-z.0-9]+)_\d+")
_VERTEX = re.compile(r"[ML] (-?[\d.e+-]+) (-?[\d.e+-]+)")
_MOVED = re.compile(r"translate\((-?[\d.]+) (-?[\d.]+)\)")
#: Of a digit of an axis, in points.
LETTER_WIDTH, LETTER_HEIGHT = 5.7, 6.8
_FILL = re.compile(r"fill: (#\w+)")


@dataclass
class Point:
    """What a point or bar of a figure says, where it leads, and what is drawn of it.

    places: of its markers. hollow: whether they are. bars: the boxes of its bars.
    """

    page: str
    href: str | None
    text: str = ""
    places: list[tuple[float, float]] = field(default_factory=list)
    hollow: bool = False
    bars: list[Box] = field(default_factory=list)


@dataclass
class Panel:
    """box: its frame. intervals: through points; lines: by their corners; discs: what is drawn behind points.

    bars: those that lead nowhere, each with whether it is hollow.
    """

    box: Box | None = None
    axes: dict[Literal["x", "y"], Axis] = field(default_factory=lambda: {"x": Axis(), "y": Axis()})
    texts: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    intervals: list[list[tuple[float, float]]] = field(default_factory=list)
    lines: list[list[tuple[float, float]]] = field(default_factory=list)
    discs: list[tuple[float, float]] = field(default_factory=list)
    bars: list[tuple[Box, bool]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What stands above it: it is written after all other texts."""
        return self.texts[-1] if self.texts else ""


@dataclass
class Figure:
    """The panels of one SVG, in the order of its rows."""

    page: str
    panels: list[Panel] = field(default_factory=list)

    def row_name(self, panel: Panel) -> str:
        """What stands beside the row that a panel is in."""
        beside = [each for each in self.panels if each.box and panel.box and each.box[1::2] == panel.box[1::2]]
        return next((each.axes["y"].name for each in beside if each.axes["y"].name), "")


class Reader:
    """What is drawn within one SVG, element by element."""

    def __init__(self, page: str) -> None:
        self.figure = Figure(page)
        self._kinds: list[str] = []
        self._axes_begun = 0
        self._point: Point | None = None
        self._in_title = False

    @property
    def _panel(self) -> Panel | None:
        return self.figure.panels[-1] if "axes" in self._kinds else None

    def start(self, tag: str, told: dict[str, str], classes: frozenset[str]) -> None:
        """Groups, and what is drawn in them."""
        if tag in ("g", "defs"):
            self._begin(told.get("id", "") if tag == "g" else tag)
            self._moved(told.get("transform", ""))
        elif (panel := self._panel) is None:
            return
        elif tag == "a" and "spot" in classes:
            self._point = Point(self.figure.page, told.get("href") or told.get("xlink:href"))
            panel.points.append(self._point)
        elif tag == "title":
            self._in_title = self._point is not None
        elif tag == "use" and "x" in told and "y" in told:
            self._used(panel, (float(told["x"]), float(told["y"])), told.get("style", ""))
        elif tag == "path":
            self._traced(panel, told.get("d", ""), told.get("style", ""))

    def _begin(self, name: str) -> None:
        match = _KIND.fullmatch(name)
        kind = match[1] if match else name
        self._kinds.append(kind)
        if kind == "axes":
            self.figure.panels.append(Panel())
            self._axes_begun = 0
        elif kind == "matplotlib.axis":
            self._axes_begun += 1
        panel = self._panel
        if panel is None:
            return
        if kind in ("xtick", "ytick"):
            panel.axes["x" if kind == "xtick" else "y"].ticks.append(Tick())
        elif kind == "text" and "matplotlib.axis" not in self._kinds:
            panel.texts.append("")
        elif kind == "text" and not self._in_tick:
            self._axis(panel).texts.append("")

    def _moved(self, transform: str) -> None:
        """The middle of a tick's label: half of its letters behind its begin, or half their height above its foot."""
        begin = _MOVED.match(transform)
        if begin is None or not self._in_tick or self._panel is None:
            return
        tick = self._axis(self._panel).ticks[-1]
        if tick.words_at is None and "$" not in tick.label:
            if "xtick" in self._kinds:
                tick.words_at = float(begin[1]) + LETTER_WIDTH / 2 * len(tick.label)
            else:
                tick.words_at = float(begin[2]) - LETTER_HEIGHT / 2

    @property
    def _in_tick(self) -> bool:
        return "xtick" in self._kinds or "ytick" in self._kinds

    def _axis(self, panel: Panel) -> Axis:
        """The one that is being drawn, the horizontal one first."""
        return panel.axes["x" if self._axes_begun == 1 else "y"]

    def end(self, tag: str) -> None:
        """The end of a group or of a point."""
        if tag in ("g", "defs") and self._kinds:
            self._kinds.pop()
        elif tag == "a":
            self._point = None
        elif tag == "title":
            self._in_title = False

    def words(self, text: str) -> None:
        """What a point says."""
        if self._in_title and self._point is not None:
            self._point.text += text

    def comment(self, text: str) -> None:
        """The words of a text, which stand beside its outlines."""
        panel, text = self._panel, text.strip()
        if panel is None or "text" not in self._kinds:
            return
        if self._in_tick:
            self._axis(panel).ticks[-1].label += text
            return
        texts = self._axis(panel).texts if "matplotlib.axis" in self._kinds else panel.texts
        texts[-1] = f"{texts[-1]} {text}".strip()

    def _used(self, panel: Panel, place: tuple[float, float], style: str) -> None:
        """A mark: of a tick, of a point, or a disc."""
        if self._in_tick:
            tick = self._axis(panel).ticks[-1]
            tick.place = place[0] if "xtick" in self._kinds else place[1]
        elif self._point is not None:
            self._point.places.append(place)
            self._point.hollow = _is_hollow(style)
        elif "PathCollection" in self._kinds:
            panel.discs.append(place)

    def _traced(self, panel: Panel, path: str, style: str) -> None:
        """A line: through a point, or from point to point; a box: of the panel or of a bar."""
        if self._in_tick or "defs" in self._kinds:
            return
        corners = [(float(x), float(y)) for x, y in _VERTEX.findall(path)]
        kind = self._kinds[-1]
        if kind == "LineCollection":
            panel.intervals.append(corners)
        elif kind == "line2d" and corners:
            panel.lines.append(corners)
        elif kind == "patch" and corners:
            box = _around(corners)
            if self._point is not None:
                self._point.bars.append(box)
            elif panel.box is None:
                panel.box = box
            elif len(corners) > 2:  # no side of the frame
                panel.bars.append((box, _is_hollow(style)))


def _is_hollow(style: str) -> bool:
    fill = _FILL.search(style)
    return fill is not None and fill[1] == "#ffffff"


def _around(corners: list[tuple[float, float]]) -> Box:
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)
