"""Figures 2 and 7: attack success over zero-shot accuracy, one panel for each attack, one row for each model."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from harness.reports.layouts._svg import Style, draw_panels, plain, point, styles
from harness.reports.layouts.base import ASR_METRICS, Drawing, spot_of, words_on_published
from harness.reports.results import Results, ShownCell, results_of_run
from harness.spec.result import RunRecord

ACCURACY = "accuracy_mean"
#: The shortest axis of accuracy.
NARROWEST = 0.1


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """Points with 95% intervals in both directions, hollow where the ASR is invalid, golden values behind them.

    The paper's values stand in rows of their own: its accuracy is over other tasks than an organism's.
    """
    ours = results_of_run(record)
    metrics = [metric for metric in ASR_METRICS if _cells(ours, metric)]
    if not metrics:
        return None
    beside = [entry for entry in published if any(_cells(entry, metric) for metric in metrics)]
    rows = [ours, *beside]
    look = styles(cell.title for entry in rows for metric in metrics for cell in _cells(entry, metric))

    def fill(axes: list[list[Axes]]) -> None:
        for entry, row in zip(rows, axes, strict=True):
            for axis, metric in zip(row, metrics, strict=True):
                if entry is ours:
                    _golden_points(axis, record, metric)
                _points(axis, entry, metric, look)
                axis.set(title=ASR_METRICS[metric], xlabel="zero-shot accuracy (mean)", ylim=(-0.05, 1.05))
            row[0].set_ylabel(f"{plain(entry.name)}\nattack success rate")
            _widen(row[0])

    caption = (
        "Points: this run, with 95% intervals; hollow where the attack success rate is invalid. Grey discs, if "
        f"any: golden values. {words_on_published(beside, 'figure')}"
    )
    if beside:
        caption += " Cells of which it prints only one of the two figures are not drawn."
    return Drawing(draw_panels(record.id, len(rows), len(metrics), fill, look, share_x="row"), caption)


def _widen(axis: Axes) -> None:
    """An axis from 0.57 to 0.59 would make a spread of what was printed with two digits. The row shares it."""
    low, high = axis.get_xlim()
    if high - low < NARROWEST:
        middle = (low + high) / 2
        axis.set_xlim(middle - NARROWEST / 2, middle + NARROWEST / 2)


def _cells(results: Results, metric: str) -> list[ShownCell]:
    """The cells that have both figures of a point."""
    return [cell for cell in results.cells if cell.number(metric) is not None and cell.number(ACCURACY) is not None]


def _points(axis: Axes, results: Results, metric: str, look: dict[str, Style]) -> None:
    for cell in _cells(results, metric):
        accuracy, asr = cell.measurements[ACCURACY], cell.measurements[metric]
        point(
            axis,
            accuracy.value,
            asr.value,
            look[cell.title],
            accuracy.valid and asr.valid,
            accuracy.interval,
            asr.interval,
            spot_of(cell, {metric: ASR_METRICS[metric], ACCURACY: "accuracy"}),
        )


def _golden_points(axis: Axes, record: RunRecord, metric: str) -> None:
    golden = {(check.cell, check.metric): check.golden for check in record.checks if check.golden is not None}
    points = [(golden.get((cell.id, ACCURACY)), golden.get((cell.id, metric))) for cell in record.cells]
    known = [(x, y) for x, y in points if x is not None and y is not None]
    if known:
        axis.scatter([x for x, _ in known], [y for _, y in known], s=130, color="0.8", zorder=0, label="golden value")
