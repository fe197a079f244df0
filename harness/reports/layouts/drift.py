"""Weight drift: statistics of groups of weights over the steps of a fine-tuning, and which hypothesis each supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup
from matplotlib.axes import Axes
from pydantic import TypeAdapter, ValidationError

from harness.evaluations.drift import Comparison, Settings
from harness.reports.layouts._svg import Style, draw_panels, line, plain, point, styles
from harness.reports.layouts.base import Drawing, spot_of, words_on_published
from harness.reports.results import Results, ShownCell, results_of_run
from harness.reports.templating import render
from harness.spec.measurement import Measurement
from harness.spec.result import RunRecord

PANELS = {
    "absolute_mean": "mean |Δw|",
    "relative_mean": "mean |Δw| / |w|",
    "relative_median": "median |Δw| / |w|",
    "norm_ratio": "norm of Δw / norm of w",
}
#: What a ratio says of the hypothesis that the first group drifts more.
SUPPORTED, CONTRADICTED, UNDECIDED, NO_INTERVAL = "supported", "contradicted", "underpowered", "-"


@dataclass(frozen=True)
class Course:
    """One fine-tuning as one evaluation measured it. steps: (checkpoint, step), growing."""

    title: str
    cell: ShownCell
    settings: Settings
    steps: tuple[tuple[int, float], ...]

    def series(self, group: str, statistic: str) -> list[tuple[float, Measurement]]:
        """The statistic of a group over the steps, where it has a number."""
        named = [(step, self.settings.metric(group, statistic, number)) for number, step in self.steps]
        return [
            (step, self.cell.measurements[metric]) for step, metric in named if self.cell.number(metric) is not None
        ]

    def has(self, statistic: str) -> bool:
        """Whether any group has the statistic."""
        return any(self.series(group.name, statistic) for group in self.settings.groups)


@dataclass(frozen=True)
class Row:
    """A statistic of every comparison, and what it says of the hypothesis that the first group drifts more."""

    statistic: str
    ratios: list[Measurement | None]
    outcomes: list[str]


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """A row of panels for each fine-tuning and evaluation, the published logs below; then a table for each."""
    evaluations = _evaluations(record)
    ours = [course for settings in evaluations for course in courses_of(results_of_run(record), settings)]
    if not ours:
        return None
    beside = [course for entry in published for settings in evaluations for course in courses_of(entry, settings)]
    courses = [*ours, *beside]
    statistics = [statistic for statistic in PANELS if any(course.has(statistic) for course in courses)]
    look = _look([course.settings for course in courses])

    def fill(axes: list[list[Axes]]) -> None:
        for course, row in zip(courses, axes, strict=True):
            for axis, statistic in zip(row, statistics, strict=True):
                if not course.has(statistic):
                    axis.remove()
                    continue
                _draw_lines(axis, course, statistic, look)
                axis.set(title=PANELS[statistic], xlabel="step", ylim=(0, None))
            row[0].set_ylabel(plain(course.title.replace(": ", ":\n", 1)))

    caption = (
        "Statistics of each group's weights over the steps of the fine-tuning; bars and intervals: 95%, layers "
        "resampled. Below, whether one group drifts more than another, by each statistic: supported or "
        "contradicted where the interval of the ratio does not hold 1. "
        + words_on_published(published if beside else [], "figure")
    )
    figure = draw_panels(record.id, len(courses), len(statistics), fill, look)
    return Drawing(Markup("").join([figure, *(_table(course) for course in courses if rows_of(course))]), caption)


def _evaluations(record: RunRecord) -> list[Settings]:
    """The drift evaluations of the record's spec, as far as this version can read them."""
    found = []
    for entry in record.spec.get("evaluations", ()):
        try:
            found += [TypeAdapter(Settings).validate_python(entry)]
        except ValidationError:
            continue  # another kind of evaluation
    return found


def courses_of(results: Results, settings: Settings) -> list[Course]:
    """The cells in which something was trained and measured."""
    courses = []
    for cell in results.cells:
        numbered = [
            (number, cell.number(settings.step_metric(number))) for number in range(1, settings.checkpoints + 1)
        ]
        steps = tuple((number, step) for number, step in numbered if step)  # step 0 is no training
        title = f"{results.name}: {cell.id}, {settings.merge_dtype}"
        course = Course(title, cell, settings, steps)
        if any(course.has(statistic) for statistic in PANELS):
            courses.append(course)
    return courses


def rows_of(course: Course) -> list[Row]:
    """How the groups compare in size, then every statistic that any comparison has."""
    measured = course.cell.measurements
    sizes = [measured.get(course.settings.size_ratio_metric(pair)) for pair in course.settings.compare]
    rows = [Row("mean |w| before", sizes, [NO_INTERVAL] * len(sizes))] if any(sizes) else []
    for statistic in course.settings.compared:
        ratios = [_ratio(course, pair, statistic) for pair in course.settings.compare]
        if any(ratios):
            rows.append(Row(statistic, ratios, [_outcome(measured) for measured in ratios]))
    return rows


def _ratio(course: Course, pair: Comparison, statistic: str) -> Measurement | None:
    """As measured; of published values, which have no interval, their quotient at the last step."""
    metric = course.settings.ratio_metric(pair, statistic)
    if course.cell.number(metric) is not None:
        return course.cell.measurements[metric]
    first, second = (course.series(group, statistic) for group in (pair.first, pair.second))
    if not first or not second or first[-1][1].n:
        return None
    dividend, divisor = first[-1][1].value, second[-1][1].value
    if dividend is None or not divisor:
        return None
    return Measurement(metric=metric, value=float(f"{dividend / divisor:.3g}"), n=0)


def _outcome(measured: Measurement | None) -> str:
    if measured is None or measured.interval is None or not measured.valid:
        return NO_INTERVAL
    low, high = measured.interval
    return SUPPORTED if low >= 1 else CONTRADICTED if high < 1 else UNDECIDED


def _table(course: Course) -> Markup:
    pairs = [pair.name for pair in course.settings.compare]
    return render("drift.html.j2", title=course.title, pairs=pairs, rows=rows_of(course))


def _look(evaluations: Sequence[Settings]) -> dict[str, Style]:
    """A colour for each group; a group that is matched to another has the other's, and a dashed line."""
    look = styles((group.name for settings in evaluations for group in settings.groups), line="-")
    for settings in evaluations:
        matched = {group.name for group in settings.groups if group.region.parts}
        for pair in settings.compare:
            if pair.first in matched:
                look[pair.first] = replace(look[pair.first], colour=look[pair.second].colour, line="--")
    return look


def _draw_lines(axis: Axes, course: Course, statistic: str, look: dict[str, Style]) -> None:
    for group in course.settings.groups:
        series = course.series(group.name, statistic)
        if series:
            line(axis, [(step, measured.value) for step, measured in series], look[group.name])
        for step, measured in series:
            point(
                axis,
                step,
                measured.value,
                look[group.name],
                measured.valid,
                y_interval=measured.interval,
                spot=spot_of(course.cell, {measured.metric: PANELS[statistic]}, f"{group.name}, step {step:g}"),
            )
