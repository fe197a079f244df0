"""Tables 6 and 7: the grid of a region's parameters, every figure as ours and the paper's side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.reports.layouts.base import ASR_METRICS, Drawing, words_on_published
from harness.reports.results import Results, ShownCell, results_of_run
from harness.reports.templating import render
from harness.spec.measurement import Measurement
from harness.spec.result import RunRecord

METRICS = {**ASR_METRICS, "accuracy_mean": "Accuracy (mean)"}


@dataclass(frozen=True)
class Row:
    """One cell: what it removes, and for each metric one measurement for each column, None where there is none."""

    cell: ShownCell
    measured: list[list[Measurement | None]]


def draw(record: RunRecord, published: Sequence[Results]) -> Drawing | None:
    """Cells of the paper that this run has too stand beside ours; a grid of another size of model below, by itself."""
    ours = results_of_run(record)
    if not any(cell.parameters for cell in ours.cells) or not any(ours.has(metric) for metric in METRICS):
        return None
    points = {cell.id for cell in ours.cells if cell.parameters}
    beside = [entry for entry in published if any(cell.id in points for cell in entry.cells)]
    apart = [entry for entry in published if entry not in beside]
    content = Markup("").join([_table([ours, *beside]), *(_table([entry]) for entry in apart)])
    caption = f"Our values with 95% intervals. {words_on_published(published, 'table')}"
    if apart:
        caption += " Ranks are numbers of one model's size: such a grid has no cell in common with this run's."
    return Drawing(content, caption)


def _table(entries: Sequence[Results]) -> Markup:
    """Rows in the order of the first entry's cells, then those that only others have."""
    by_id = [{cell.id: cell for cell in entry.cells} for entry in entries]
    cells = {cell_id: cell for known in reversed(by_id) for cell_id, cell in known.items()}
    order = dict.fromkeys(cell_id for known in by_id for cell_id in known)
    metrics = {metric: title for metric, title in METRICS.items() if any(entry.has(metric) for entry in entries)}
    rows = [
        Row(cells[cell_id], [[_measured(known.get(cell_id), metric) for known in by_id] for metric in metrics])
        for cell_id in order
    ]
    parameters = dict.fromkeys(name for cell_id in order for name in cells[cell_id].parameters)
    receipts = [cell.receipt for cell in cells.values() if cell.receipt is not None]
    return render(
        "grid_table.html.j2",
        names=[entry.name for entry in entries],
        rows=rows,
        metrics=list(metrics.values()),
        parameters=list(parameters),
        sparsity=any(receipt.sparsity is not None for receipt in receipts),
        rank_share=any(receipt.rank_share is not None for receipt in receipts),
    )


def _measured(cell: ShownCell | None, metric: str) -> Measurement | None:
    return None if cell is None else cell.measurements.get(metric)
