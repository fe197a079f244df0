"""Figures as inline SVG, made with matplotlib from records alone."""

from __future__ import annotations

import io
import re

import matplotlib

from harness.spec.result import CellResult, RunRecord

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.axes import Axes

_PANELS = (
    ("asr_vanilla", "ASR vanilla"),
    ("asr_adv_suffix", "ASR adv_suffix"),
    ("asr_adv_decoding", "ASR adv_decoding"),
)
_MARKERS = "osD^vP*Xph<>"


def asr_against_accuracy(record: RunRecord) -> str | None:
    """The layout of the paper's figure 2a: three panels, ASR over zero-shot accuracy.

    Points carry 95% intervals in both directions, are hollow where the ASR is invalid, and have
    their golden value behind them in grey. None if the record has no such measurements.
    """
    panels = [panel for panel in _PANELS if any(cell.measurement(panel[0]) for cell in record.cells)]
    if not panels or not any(cell.measurement("accuracy_mean") for cell in record.cells):
        return None
    groups = list(dict.fromkeys((cell.group, cell.title) for cell in record.cells))
    with matplotlib.rc_context({"svg.hashsalt": record.id, "svg.fonttype": "path", "font.size": 9}):
        figure, axes = pyplot.subplots(1, len(panels), figsize=(3.7 * len(panels), 3.9), sharey=True, squeeze=False)
        for axis, (metric, title) in zip(axes[0], panels, strict=True):
            _golden_points(axis, record, metric)
            for number, (group, label) in enumerate(groups):
                cells = [cell for cell in record.cells if cell.group == group]
                _points(axis, cells, metric, label, number)
            axis.set(title=title, xlabel="zero-shot accuracy (mean)", ylim=(-0.04, 1.04))
            axis.grid(alpha=0.25)
        axes[0][0].set_ylabel("attack success rate")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=8)
        figure.tight_layout(rect=(0, 0.14, 1, 1))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
        pyplot.close(figure)
    svg = buffer.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)


def _points(axis: Axes, cells: list[CellResult], metric: str, label: str, number: int) -> None:
    colour, marker = f"C{number % 10}", _MARKERS[number % len(_MARKERS)]
    for cell in cells:
        asr, accuracy = cell.measurement(metric), cell.measurement("accuracy_mean")
        if asr is None or accuracy is None or asr.value is None or accuracy.value is None:
            continue
        axis.errorbar(
            accuracy.value,
            asr.value,
            xerr=_arms(accuracy.value, accuracy.interval),
            yerr=_arms(asr.value, asr.interval),
            fmt=marker,
            color=colour,
            markerfacecolor=colour if asr.valid else "none",
            markersize=6,
            elinewidth=0.8,
            label=label,
        )
        label = "_nolegend_"


def _golden_points(axis: Axes, record: RunRecord, metric: str) -> None:
    golden = {(check.cell, check.metric): check.golden for check in record.checks if check.golden is not None}
    points = [(golden.get((cell.id, "accuracy_mean")), golden.get((cell.id, metric))) for cell in record.cells]
    known = [(x, y) for x, y in points if x is not None and y is not None]
    if known:
        axis.scatter(*zip(*known, strict=True), s=130, color="0.75", zorder=0, label="golden value")


def _arms(value: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """Error bars as matplotlib wants them: [[below], [above]], never negative."""
    if interval is None:
        return None
    return [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]
