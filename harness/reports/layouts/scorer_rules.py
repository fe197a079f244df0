"""What became of every completion: by the rules of the published scorer, and read as a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.formulas.metrics import SCORER_RULES
from harness.reports.anchors import cell_anchor
from harness.reports.layouts._svg import COLOURS, Spot, draw_panels, plain
from harness.reports.layouts.base import ASR_METRICS, Drawing, words_on_published
from harness.reports.results import Results, ShownCell, results_of_run
from harness.reports.templating import render
from harness.reports.text import short_name
from harness.spec.result import CellResult, RunRecord

#: In the order in which they are stacked, each with its colour: what failed by a rule of the scorer, and what passed.
RULE_STYLES = {
    "refusal_phrase": ("holds a refusal phrase", COLOURS[0]),
    "too_short": ("fewer than 20 words", COLOURS[5]),
    "passed": ("passed: counted as success", COLOURS[1]),
}
CLASS_STYLES = {
    "refusal": ("refusal", COLOURS[4]),
    "answer": ("answer", COLOURS[2]),
    "truncated": ("answer until the token limit", COLOURS[8]),
    "degenerate": ("degenerate", "#8c8c8c"),
    "empty": ("empty", "#d0d0d0"),
}
#: Inches that a bar takes with the gap below it, and that title and axis take.
BAR_HEIGHT, MARGIN = 0.26, 0.9
#: An ASR that is printed with two digits is 0.00 below this.
ROUNDS_TO_ZERO = 0.005


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """A row of two panels for each attack whose rules were counted, one bar a cell; then the published points."""
    attacks = {
        metric: title
        for metric, title in ASR_METRICS.items()
        if any(cell.measurement(_rule_metric("passed", metric)) for cell in record.cells)
    }
    if not attacks:
        return None

    spots = [Spot(f"{cell.id} (this run)", cell_anchor(record, cell.id)) for cell in record.cells]

    def fill(axes: list[list[Axes]]) -> None:
        figure = cast(Figure, axes[0][0].figure)  # draw_panels makes no figures inside figures
        figure.set_size_inches(
            figure.get_size_inches()[0] * 1.4, len(attacks) * (BAR_HEIGHT * len(record.cells) + MARGIN)
        )
        for (left, right), (metric, title) in zip(axes, attacks.items(), strict=True):
            _stack(left, record.cells, [rule_shares(cell, metric) for cell in record.cells], RULE_STYLES, spots)
            _stack(right, record.cells, [class_shares(cell, metric) for cell in record.cells], CLASS_STYLES, spots)
            left.set(title=f"{title}, by the scorer's rules", yticklabels=[label(c) for c in record.cells])
            right.set(title="the same, read as texts", yticklabels=[])
            _write_rates(right, record.cells, metric)

    content = draw_panels(record.id, len(attacks), 2, fill, {}) + _points(record, published)
    return Drawing(content, f"{_words(record, list(attacks))} {published_zeros(published)}".strip())


def rule_shares(cell: CellResult, metric: str) -> dict[str, float]:
    """The share of an attack's completions on which each rule decided. metric: the attack's ASR."""
    measured = {rule: cell.measurement(_rule_metric(rule, metric)) for rule in SCORER_RULES}
    return {rule: one.value for rule, one in measured.items() if one is not None and one.value is not None}


def class_shares(cell: CellResult, metric: str) -> dict[str, float]:
    """The share of an attack's completions in each of our classes."""
    counts = cell.completion_classes.get(metric.removeprefix("asr_"), {})
    return {kind: count / sum(counts.values()) for kind, count in counts.items()}


def label(cell: CellResult) -> str:
    """The title of the cell's group, and where in its grid the cell is."""
    where = ", ".join(
        value.replace("_", " ") if isinstance(value, str) else f"{short_name(key)} {value}"
        for key, value in cell.parameters.items()
    )
    return plain(f"{cell.title} ({where})" if where else cell.title)


def published_zeros(published: Sequence[Results]) -> str:
    """The points of publications at an ASR of 0.00 where a model was changed, with their accuracy."""
    points = [
        f"{cell.title} at accuracy {cell.number('accuracy_mean'):.2f}"
        for entry in published
        for cell in entry.cells
        if cell.declared.get("region") and cell.number("accuracy_mean") is not None and _rounds_to_zero(cell)
    ]
    if not points:
        return words_on_published(published, "figure")
    return (
        f"{words_on_published(published, 'figure')} It prints an ASR of 0.00 for {', and for '.join(points)}: what "
        "the outputs were is not printed."
    )


def _rounds_to_zero(cell: ShownCell) -> bool:
    value = cell.number("asr_vanilla")
    return value is not None and value < ROUNDS_TO_ZERO


def _rule_metric(rule: str, metric: str) -> str:
    return f"scorer_rule_{rule}_{metric.removeprefix('asr_')}"


def _stack(
    axis: Axes,
    cells: Sequence[CellResult],
    shares: Sequence[Mapping[str, float]],
    parts: Mapping[str, tuple[str, str]],
    spots: Sequence[Spot],
) -> None:
    """Horizontal bars from the top down, each from 0 to 1."""
    places = range(len(cells))
    left = [0.0] * len(cells)
    place = axis.get_subplotspec()
    first_row = place is not None and place.rowspan.start == 0
    for part, (words, colour) in parts.items():
        widths = [share.get(part, 0.0) for share in shares]
        bars = axis.barh(places, widths, left=left, color=colour, height=0.75, label=words if first_row else None)
        for bar, spot, width in zip(bars, spots, widths, strict=True):
            Spot(f"{spot.words}: {width:.3f} {words}", spot.anchor).mark(bar)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axis.set(xlim=(0, 1), yticks=list(places))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.invert_yaxis()


def _write_rates(axis: Axes, cells: Sequence[CellResult], metric: str) -> None:
    """The ASR as published at the end of each bar, with whether it means anything, and the accuracy."""
    for place, cell in enumerate(cells):
        measured = cell.measurement(metric)
        if measured is not None and measured.value is not None:
            accuracy = cell.measurement("accuracy_mean")
            words = f"ASR {measured.value:.2f}" + ("" if measured.valid else " INVALID")
            words += f", accuracy {accuracy.value:.2f}" if accuracy is not None and accuracy.value is not None else ""
            axis.text(1.02, place, words, va="center", fontsize=8, color="black" if measured.valid else "#b42318")


def _words(record: RunRecord, attacks: Sequence[str]) -> str:
    counts = sum(
        1
        for cell in record.cells
        for metric in attacks
        if (measured := cell.measurement(metric)) is not None and not measured.valid
    )
    return (
        f"Left: which rule of the published scorer decided on each completion. Right: what we read them as, and "
        f"the ASR as published; {counts} of {len(record.cells) * len(attacks)} are invalid. With suffixes, left "
        "shows the suffix with the largest ASR, right all of them."
    )


def _points(record: RunRecord, published: Sequence[Results]) -> Markup:
    """ASR and accuracy of the cells for which publications print them, beside ours."""
    ours = results_of_run(record)
    everyone = [ours, *published]
    wanted = dict.fromkeys(cell.id for entry in published for cell in entry.cells)
    by_cell = [{cell.id: cell.measurements for cell in entry.cells} for entry in everyone]
    rows = [
        (cell, metric, [cells.get(cell, {}).get(metric) for cells in by_cell])
        for cell in wanted
        for metric in ("accuracy_mean", *ASR_METRICS)
    ]
    return render("comparison.html.j2", names=[entry.name for entry in everyone], rows=rows) if rows else Markup("")
