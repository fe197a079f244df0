"""Figure 9: how the accuracy of the probes is distributed over the attention heads."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes

from harness.reports.layouts._svg import COLOURS, draw_panels, plain
from harness.reports.layouts.base import Drawing, words_on_published
from harness.reports.results import Results, results_of_run
from harness.reports.templating import render
from harness.spec.result import RunRecord

METRIC = re.compile(r"(?P<name>.+)/model\.layers\.\d+\.self_attn/head\.\d+")
BIN_WIDTH = 0.02
#: Accuracies are fractions in binary: 0.96 lies a little below 48 * 0.02.
EDGE_TOLERANCE = 1e-9


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """One panel for each metric that is measured for single heads, in each cell that has it, and a table of summaries.

    The paper prints the distribution as a picture alone: its figures stand in the table. Heads whose accuracy is
    invalid are drawn hollow, on top of the others.
    """
    ours = results_of_run(record)
    panels = panels_of(ours)
    if not panels:
        return None

    def fill(axes: list[list[Axes]]) -> None:
        for axis, (title, (valid, invalid)) in zip(axes[0], panels.items(), strict=True):
            _draw_bars(axis, valid, invalid)
            axis.set(title=plain(title.replace("_", " ")), xlabel="accuracy on the validation prompts")
        axes[0][0].set_ylabel(f"{plain(ours.name)}\nattention heads")

    count = sum(len(valid) + len(invalid) for valid, invalid in panels.values())
    caption = f"{count} attention heads, bins of {BIN_WIDTH:g}. {words_on_published(published, 'figure')}"
    content = draw_panels(record.id, 1, len(panels), fill, {}) + _summaries(ours, published)
    return Drawing(content, caption)


def panels_of(results: Results) -> dict[str, tuple[list[float], list[float]]]:
    """By title: the values of all heads, the valid ones and the others."""
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for cell in results.cells:
        for metric, measured in cell.measurements.items():
            match, value = METRIC.fullmatch(metric), cell.number(metric)
            if match and value is not None:
                found[match["name"], cell.id][0 if measured.valid else 1].append(value)
    names = [name for name, _ in found]
    return {name if names.count(name) == 1 else f"{name}, {cell}": heads for (name, cell), heads in found.items()}


def bin_edges(lowest: float) -> list[float]:
    """Edges from the bin of the lowest head to 1. A value on an edge counts in the bin above it, 1 in the last."""
    bins = round(1 / BIN_WIDTH)
    first = min(math.floor(lowest / BIN_WIDTH + EDGE_TOLERANCE), bins - 1)
    return [number * BIN_WIDTH - EDGE_TOLERANCE for number in range(first, bins)] + [1.0 + EDGE_TOLERANCE]


def _draw_bars(axis: Axes, valid: list[float], invalid: list[float]) -> None:
    edges = bin_edges(min(valid + invalid))
    axis.hist(
        [valid, invalid],
        bins=edges,
        stacked=True,
        color=[COLOURS[0], "white"],
        edgecolor=COLOURS[0],
        linewidth=0.6,
        label=["heads", "heads, invalid"] if invalid else None,
    )
    axis.set_xlim(edges[0] - BIN_WIDTH, 1.0 + BIN_WIDTH)
    axis.locator_params(axis="y", integer=True)


def _summaries(ours: Results, published: Sequence[Results]) -> Markup:
    """Every metric of a whole model, ours and the paper's side by side."""
    everyone = [ours, *published]
    rows = {
        (cell.id, metric): None
        for entry in everyone
        for cell in entry.cells
        for metric in cell.measurements
        if "/" not in metric
    }
    by_cell = [{cell.id: cell.measurements for cell in entry.cells} for entry in everyone]
    return render(
        "comparison.html.j2",
        names=[entry.name for entry in everyone],
        rows=[(cell, metric, [cells.get(cell, {}).get(metric) for cells in by_cell]) for cell, metric in rows],
    )
