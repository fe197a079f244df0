"""Figures 3 and 8: attack success and accuracy over how much was removed, mean and deviation over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from harness.formulas.statistics import spread_over_repetitions
from harness.reports.layouts._svg import Spot, Style, draw_panels, line, plain, point, styles
from harness.reports.layouts.base import ASR_METRICS, Drawing, spot_of, words_on_published
from harness.reports.results import Results, ShownCell, results_of_run
from harness.spec.result import RunRecord

PANELS = {**ASR_METRICS, "accuracy_mean": "zero-shot accuracy (mean)"}
#: The parameters that say how much a cell removes, and what they count.
AMOUNTS = {"fraction": "share of the weights removed", "rank": "ranks removed"}


@dataclass(frozen=True)
class Point:
    """The cells of one group that remove as much, and differ in the seed at most."""

    amount: float
    value: float
    interval: tuple[float, float] | None
    valid: bool
    cells: tuple[ShownCell, ...]


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """One line for each group of cells; the intact model, which nothing is removed from, as a dashed level."""
    ours = results_of_run(record)
    amount = next((name for name in AMOUNTS if any(name in cell.parameters for cell in ours.cells)), None)
    if amount is None:
        return None
    metrics = [metric for metric in PANELS if any(series_of(ours, metric, amount).values())]
    if not metrics:
        return None
    beside = [entry for entry in published if any(any(series_of(entry, m, amount).values()) for m in metrics)]
    rows = [ours, *beside]
    look = styles((cell.title for entry in rows for cell in entry.cells if amount in cell.parameters), line="-")

    def fill(axes: list[list[Axes]]) -> None:
        for entry, row in zip(rows, axes, strict=True):
            for axis, metric in zip(row, metrics, strict=True):
                _lines(axis, entry, metric, amount, look)
                axis.set(title=PANELS[metric], xlabel=AMOUNTS[amount], ylim=(-0.05, 1.05))
            row[0].set_ylabel(plain(entry.name))

    repeated = any("seed" in cell.parameters for cell in ours.cells)
    bars = "Means over seeds with one standard deviation" if repeated else "Points with 95% intervals"
    caption = (
        f"{bars}; hollow where any of the cells is invalid or has no number. {words_on_published(beside, 'figure')}"
    )
    return Drawing(draw_panels(record.id, len(rows), len(metrics), fill, look), caption)


def series_of(results: Results, metric: str, amount: str) -> dict[str, list[Point]]:
    """The points of each group by its title, with growing amounts."""
    cells: dict[str, dict[float, list[ShownCell]]] = defaultdict(lambda: defaultdict(list))
    for cell in results.cells:
        value = cell.parameters.get(amount)
        if isinstance(value, int | float):
            cells[cell.title][float(value)].append(cell)
    return {
        title: [drawn for value in sorted(by_amount) if (drawn := _point(value, by_amount[value], metric)) is not None]
        for title, by_amount in cells.items()
    }


def _point(amount: float, cells: Sequence[ShownCell], metric: str) -> Point | None:
    """Mean and one standard deviation over the cells; of a single one its own value and 95% interval."""
    values = [value for cell in cells if (value := cell.number(metric)) is not None]
    if not values:
        return None
    complete = len(values) == len(cells) and all(cell.valid(metric) for cell in cells)
    if len(cells) == 1:
        return Point(amount, values[0], cells[0].measurements[metric].interval, complete, tuple(cells))
    spread = spread_over_repetitions(values)
    width = spread.standard_deviation
    interval = None if width is None else (spread.mean - width, spread.mean + width)
    return Point(amount, spread.mean, interval, complete, tuple(cells))


def _spot(drawn: Point, metric: str) -> Spot:
    """Of several cells the first one's place, with the values of all."""
    first, *others = [spot_of(cell, {metric: PANELS[metric]}) for cell in drawn.cells]
    return Spot("; ".join([first.words, *(other.words for other in others)]), first.anchor)


def _lines(axis: Axes, results: Results, metric: str, amount: str, look: dict[str, Style]) -> None:
    for title, points in series_of(results, metric, amount).items():
        if points:
            line(axis, [(drawn.amount, drawn.value) for drawn in points], look[title])
        for drawn in points:
            point(
                axis,
                drawn.amount,
                drawn.value,
                look[title],
                drawn.valid,
                y_interval=drawn.interval,
                spot=_spot(drawn, metric),
            )
    for cell in results.cells:
        level = cell.number(metric)
        if level is not None and not cell.parameters and not cell.declared.get("region"):
            axis.axhline(level, color="0.45", linestyle="--", linewidth=1, zorder=0, label=plain(cell.title))
