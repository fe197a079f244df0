"""What the figures share: panels, styles, points with their uncertainty, and SVG that can stand inside HTML."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal
from urllib.parse import quote, unquote

import matplotlib
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from harness.shown import passed_on, without_secrets

MARKERS = "osD^vP*Xph<>"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444", "#7a2e9e", "#8a6100", "#b42318")
#: What the page makes of the colours on a dark ground: those that would hardly be seen there, by their names here.
COLOURS_IN_THE_DARK = {
    "#000000": "#e4e7ec",
    "#ffffff": "#14171c",
    "#0072b2": "#4ba6e0",
    "#444444": "#aab2bd",
    "#7a2e9e": "#c792e8",
    "#8a6100": "#d3a12f",
    "#b42318": "#f4796c",
    "#009e73": "#1fc79a",
    "#cccccc": "#4a515c",
    "#737373": "#98a1ad",
    "#b0b0b0": "#8b94a1",
}
#: How a place of the report stands in an SVG by matplotlib, which knows addresses alone.
_SPOT = re.compile(r'<a xlink:href="spot:([^?"]*)\?([^"]*)"[^>/]*(/?)>')
#: Inches: the widest figure that a page takes at its own size, the widest panel, one row, one line of the legend.
FIGURE_WIDTH, PANEL_WIDTH, ROW_HEIGHT, LEGEND_LINE = 12.6, 4.4, 3.1, 0.24


@dataclass(frozen=True)
class Style:
    """How one series looks. line: of the line through its points, None where there is none."""

    colour: str
    marker: str
    line: LineStyleType | None = None


@dataclass(frozen=True)
class Spot:
    """What a point stands for. words: for whoever points at it; anchor: of its cell, None where no page has it."""

    words: str
    anchor: str | None

    def mark(self, artist: Artist) -> None:
        """Make a link of what the artist draws."""
        artist.set_url(f"spot:{quote(self.anchor or '')}?{quote(passed_on(self.words))}")


def styles(titles: Iterable[str], line: LineStyleType | None = None) -> dict[str, Style]:
    """A style for each title, in the order of their first appearance: ours and the paper's series look alike."""
    return {
        title: Style(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], line)
        for number, title in enumerate(dict.fromkeys(titles))
    }


def plain(text: str) -> str:
    """Text as it is: matplotlib would read what stands between two dollar signs as a formula."""
    return text.replace("$", r"\$")


def draw_panels(
    name: str,
    rows: int,
    columns: int,
    fill: Callable[[list[list[Axes]]], None],
    series: Mapping[str, Style],
    share_x: Literal["none", "row"] = "none",
) -> Markup:
    """Inline SVG of rows x columns panels that `fill` draws into, one legend for all of them below.

    name: of the record; the same name and content give the same bytes, and ids that no other figure has.
    series: the legend's entries; it also has what `fill` gave a label.
    """
    with matplotlib.rc_context(
        {
            "svg.hashsalt": name,
            "svg.fonttype": "path",
            "font.size": 9,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
        }
    ):
        width = min(PANEL_WIDTH * columns, FIGURE_WIDTH)
        figure = Figure(figsize=(width, ROW_HEIGHT * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=share_x)
        for axis in figure.axes:
            axis.locator_params(axis="x", nbins=6)
        fill([list(row) for row in axes])
        _legend(figure, series, max(1, round(width / 2.9)))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return _inline(buffer.getvalue(), name)


def _legend(figure: Figure, series: Mapping[str, Style], columns: int) -> None:
    """One filled entry for each series, then what else has a label; the figure grows by the legend's height."""
    entries = {
        plain(title): Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.line or "none")
        for title, style in series.items()
    } | {label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if entries:
        lines = -(-len(entries) // columns)
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + LEGEND_LINE * lines)
        figure.legend(
            list(entries.values()), list(entries), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
        )


def _inline(svg: str, name: str) -> Markup:
    """Without prolog and metadata; every id has a prefix, since one page holds many figures.

    matplotlib writes the words of each text beside its outlines.
    """
    svg = without_secrets(svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    prefix = "f" + hashlib.sha256(name.encode()).hexdigest()[:8]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg, spots = _SPOT.subn(_link, svg)
    role = 'group" aria-label="Figure: its points are links to their cells' if spots else "img"
    return Markup(svg.replace("<svg", f'<svg role="{role}"', 1))


def _link(spot: re.Match[str]) -> str:
    address = f' href="#{escape(unquote(spot[1]))}"' if spot[1] else ""
    end = "</a>" if spot[3] else ""  # nothing is drawn of it: a value without a number, or outside of the figure
    return f'<a class="spot"{address}><title>{escape(unquote(spot[2]))}</title>{end}'


def point(
    axis: Axes,
    x: float | None,
    y: float | None,
    style: Style,
    filled: bool,
    x_interval: tuple[float, float] | None = None,
    y_interval: tuple[float, float] | None = None,
    spot: Spot | None = None,
) -> None:
    """One point with its intervals, hollow unless `filled`; a link if it has a spot.

    Nothing is seen where a value is None.
    """
    drawn = axis.errorbar(
        _drawn(x),
        _drawn(y),
        xerr=_arms(x, x_interval),
        yerr=_arms(y, y_interval),
        fmt=style.marker,
        color=style.colour,
        markerfacecolor=style.colour if filled else "white",
        markersize=6,
        elinewidth=0.8,
        capsize=2,
    )
    if spot is not None:
        spot.mark(drawn.lines[0])


def _drawn(value: float | None) -> float:
    return math.nan if value is None else value


def _arms(value: float | None, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """Error bars as matplotlib wants them: [[below], [above]], never negative."""
    if value is None or interval is None:
        return None
    return [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]


def line(axis: Axes, points: Sequence[tuple[float, float | None]], style: Style) -> None:
    """The line through points that are drawn by themselves."""
    axis.plot(*zip(*points, strict=True), color=style.colour, linestyle=style.line or "none", linewidth=1.1, zorder=1)
