"""Table 3: attack success after fine-tuning over the frozen share of the weights, by number of examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.typing import LineStyleType

from harness.regions.base import recorded
from harness.reports.layouts._svg import COLOURS, MARKERS, Style, draw_panels, line, plain, point
from harness.reports.layouts.base import Drawing, spot_of, words_on_published
from harness.reports.results import Results, ShownCell, results_of_run
from harness.spec.result import RunRecord

METRIC = "asr_vanilla"
_LINES: tuple[LineStyleType, ...] = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Series:
    """Fine-tunings on as many examples with weights of one kind frozen: (frozen share, cell), growing."""

    title: str
    examples: int
    points: tuple[tuple[float, ShownCell], ...]


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """One line for each number of examples and kind of frozen weights, from the fine-tuning without freezing on.

    The share is of the linear layers' weights; the paper's table counts all parameters (9.61% for 10%).
    """
    ours = results_of_run(record)
    if not series_of(ours):
        return None
    panels = [ours, *(entry for entry in published if series_of(entry))]
    every = [series for entry in panels for series in series_of(entry)]
    look = _look(every)

    def fill(axes: list[list[Axes]]) -> None:
        for axis, entry in zip(axes[0], panels, strict=True):
            for series in series_of(entry):
                _draw_series(axis, series, look[series.title, series.examples])
            intact = next((cell.number(METRIC) for cell in entry.cells if not cell.declared.get("fine_tuning")), None)
            if intact is not None:
                axis.axhline(intact, color="0.45", linestyle="--", linewidth=1, zorder=0, label="Not fine-tuned")
            axis.set(title=plain(entry.name), xlabel="frozen share of the linear weights", ylim=(-0.05, 1.05))
        axes[0][0].set_ylabel("ASR vanilla")

    caption = (
        "Vanilla attack success after fine-tuning on n harmless examples, with 95% intervals; hollow where it "
        f"is invalid. {words_on_published(panels[1:], 'table')}"
    )
    legend = {_label(*key): style for key, style in look.items()}
    return Drawing(draw_panels(record.id, 1, len(panels), fill, legend), caption)


def series_of(results: Results) -> list[Series]:
    unfrozen: dict[int, ShownCell] = {}
    frozen: dict[tuple[str, int], list[tuple[float, ShownCell]]] = defaultdict(list)
    for cell in results.cells:
        settings = cell.declared.get("fine_tuning")
        if not settings or cell.number(METRIC) is None:
            continue
        if not settings.get("frozen"):
            unfrozen[settings["examples"]] = cell
        elif (share := _frozen_share(cell)) is not None:
            frozen[cell.title, settings["examples"]].append((share, cell))
    alone = set(unfrozen) - {examples for _, examples in frozen}
    keys = [*frozen, *((unfrozen[examples].title, examples) for examples in sorted(alone))]
    return [
        Series(
            title,
            examples,
            tuple(
                sorted(
                    [
                        *([(0.0, unfrozen[examples])] if examples in unfrozen else []),
                        *frozen.get((title, examples), []),
                    ],
                    key=lambda place: place[0],
                )
            ),
        )
        for title, examples in keys
    ]


def _frozen_share(cell: ShownCell) -> float | None:
    """As declared, or where a region declares none (the planted one) as measured."""
    region = recorded(cell.declared["fine_tuning"]["frozen"])
    if region is not None and region.share is not None:
        return region.share
    return None if cell.tuned is None else cell.tuned.frozen_share_of_linear


def _look(every: Sequence[Series]) -> dict[tuple[str, int], Style]:
    """Colour by number of examples, marker and line by the kind of frozen weights."""
    numbers = sorted({series.examples for series in every})
    titles = list(dict.fromkeys(series.title for series in every))
    return {
        (series.title, series.examples): Style(
            COLOURS[numbers.index(series.examples) % len(COLOURS)],
            MARKERS[titles.index(series.title) % len(MARKERS)],
            _LINES[titles.index(series.title) % len(_LINES)],
        )
        for series in every
    }


def _draw_series(axis: Axes, series: Series, style: Style) -> None:
    line(axis, [(share, cell.measurements[METRIC].value) for share, cell in series.points], style)
    for share, cell in series.points:
        measured = cell.measurements[METRIC]
        point(
            axis,
            share,
            measured.value,
            style,
            measured.valid,
            y_interval=measured.interval,
            spot=spot_of(cell, {METRIC: "ASR vanilla"}),
        )


def _label(title: str, examples: int) -> str:
    return f"n = {examples}: {title.removeprefix('Fine-tuned, ')}"
