"""Extension 1: how much of each region is found again, in every cell, beside the report's values; and by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from harness.reports.layouts.base import Drawing, words_on_published
from harness.reports.layouts.by_layer import Lines, draw_lines_of, panels_of
from harness.reports.layouts.grid_table import Row
from harness.reports.results import Results, ShownCell, results_of_run
from harness.reports.templating import render
from harness.spec.measurement import Measurement
from harness.spec.result import RunRecord

KIND, RESAMPLED = "rescored_overlap", "overlap"
MEASURES = {"overlap_share": "overlap", "jaccard": "Jaccard"}


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """One row for each cell, and for each pair of calibration sets that the intact model's regions are compared on.

    Below it the overlap of every layer, for the rows in which anything changed.
    """
    regions, resamplings = _names(record.spec.get("evaluations", ()))
    ours = rows_of(results_of_run(record), regions, resamplings)
    if not ours:
        return None
    beside = [(entry.name, rows_of(entry, regions, resamplings)) for entry in published]
    names = ["this run" if beside else f"this run: {record.variant['name']}", *(name for name, _ in beside)]
    every = [{row.id: row for row in rows} for rows in (ours, *(rows for _, rows in beside))]
    table = render(
        "grid_table.html.j2",
        names=names,
        parameters=[],
        sparsity=False,
        rank_share=False,
        metrics=[f"{_words(region)}: {title}" for region in regions for title in MEASURES.values()],
        rows=[
            Row(
                row,
                [
                    [_measured(known.get(row.id), f"{region}_{measure}") for known in every]
                    for region in regions
                    for measure in MEASURES
                ],
            )
            for row in ours
        ],
    )
    panels = changed_panels(ours, regions)
    chart = draw_lines_of(record.id, panels, columns=len(regions)) if panels else Markup("")
    caption = (
        "Overlap: the share of a region's weights that are in it again when the model of the cell is scored "
        "anew; resampled: the intact model's regions on other calibration pairs. Below, the overlap of each "
        f"layer where it is not 1 everywhere. {words_on_published(published, 'table')}"
    )
    return Drawing(table + chart, caption)


def rows_of(results: Results, regions: Sequence[str], resamplings: Sequence[str]) -> list[ShownCell]:
    """Cells with a figure of any region; a resampling is a row of its own, its metrics named as those of the cells."""
    rows = [cell for cell in results.cells if any(cell.number(metric) is not None for metric in _metrics(regions))]
    for prefix in resamplings:
        for cell in results.cells:
            own = {
                name: measured.model_copy(update={"metric": name})
                for metric, measured in cell.measurements.items()
                if metric.startswith(prefix) and (name := metric.removeprefix(prefix))
            }
            if own:
                rows.append(
                    replace(
                        cell,
                        id=f"{cell.id}, {_words(prefix)}",
                        title=f"{cell.title}, resampled: {_words(prefix)}",
                        measurements=own,
                    )
                )
    return rows


def changed_panels(rows: Sequence[ShownCell], regions: Sequence[str]) -> dict[str, Lines]:
    """By title: the lines of each region in each row in which one of the layers has not an overlap of 1."""
    panels: dict[str, Lines] = {}
    for row in rows:
        found = panels_of(Results(row.title, (row,)))
        own = {region: found.get(f"{region}_overlap_share", {}) for region in regions}
        values = [measured.value for lines in own.values() for points in lines.values() for _, measured, _ in points]
        if any(value != 1.0 for value in values):
            panels |= {f"{_words(region)}: {row.id}": lines for region, lines in own.items()}
    return panels


def _names(evaluations: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The regions that are compared, and what stands before their names where other pairs were drawn for them."""
    evaluations = list(evaluations)
    regions = [name for entry in evaluations if entry.get("kind") == KIND for name in entry["compared"]]
    prefixes = [
        entry["name"].removesuffix(region)
        for entry in evaluations
        if entry.get("kind") == RESAMPLED
        for region in regions
        if entry["name"].endswith(f"_{region}")
    ]
    return regions, list(dict.fromkeys(prefixes))


def _metrics(regions: Sequence[str]) -> list[str]:
    return [f"{region}_{measure}" for region in regions for measure in MEASURES]


def _measured(row: ShownCell | None, metric: str) -> Measurement | None:
    return None if row is None else row.measurements.get(metric)


def _words(name: str) -> str:
    return name.replace("_", " ").strip()
