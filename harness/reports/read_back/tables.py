"""Tables of cells, of measurements and of grids, held against the record: a figure under another cell is an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.reports.read_back.known import TITLES, Known, near, on_one_line, shows, told
from harness.reports.read_back.parsed import Entry, Table
from harness.reports.read_back.ratios import BEGIN, of_ratios
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult

#: Of a region, by what stands behind its name.
_OVERLAPS = {"overlap": "overlap share", "Jaccard": "jaccard"}
_RESAMPLED = ", resampled: "


def of_table(table: Table, record: Known) -> Iterator[str]:
    """In words, what a table of the record's page shows and is not so."""
    if table.label == "Table of cells":
        yield from _table_of_cells(table, record)
    elif table.label == "Measurements of every cell" or _is_by_family(table):
        yield from _table_by_metric(table, record)
    elif table.label.startswith("Measurements of "):
        yield from _measurements(table, record)
    elif table.label.startswith("Figure or table of ") and table.head and table.head[0]:
        heads = [entry.words for entry in table.head[0]]
        if heads[:2] == ["Cell", "Metric"]:
            yield from _comparison(table, record)
        elif heads[0] == "Cell":
            yield from _grid(table, record)
        elif heads[0] == BEGIN:
            yield from of_ratios(table, record)


def _is_by_family(table: Table) -> bool:
    return table.label.startswith("Measurements of ") and bool(table.head and table.head[0][0].href)


def _table_of_cells(table: Table, record: Known) -> Iterator[str]:
    """A row for each cell, a column for each figure."""
    heads = [entry.words for entry in table.head[0]]
    rows = [(_cell_of(row[0], table), row) for row in table.body if row]
    if sorted(str(cell) for cell, _ in rows) != sorted(cell.id for cell in record.cells):
        yield f"{table.label} of {record.id} has the cells {[cell for cell, _ in rows]}"
    for cell, row in rows:
        for head, entry in zip(heads[1:], row[1:], strict=False):
            yield from _other(record, cell, head, entry)


def _table_by_metric(table: Table, record: Known) -> Iterator[str]:
    """A row for each metric, or family of metrics, a column for each cell, or measure of the one cell."""
    one = table.label != "Measurements of every cell"
    heads = table.head[0]
    family = ""
    for row in table.body:
        if not one and len(row) > 1 and "of-family" not in row[0].classes:
            family = row[0].words if not any(entry.words for entry in row[1:]) else ""
        for head, entry in zip(heads[1:], row[1:], strict=False):
            if "number" not in entry.classes:
                continue
            parts = (row[0].words, head.words) if one else (family, row[0].words)
            cell = _cell_of(heads[0] if one else head, table)
            yield from _other(record, cell, " ".join(filter(None, parts)), entry)


def _measurements(table: Table, record: Known) -> Iterator[str]:
    """All figures of one cell: metric, value, n."""
    cell = table.label.removeprefix("Measurements of ")
    if table.about != f"{table.page}--{cell}":
        yield f"the measurements of {cell} stand under {table.about}"
    for row in table.body:
        metric, value, n = row
        yield from _other(record, cell, metric.words.replace("_", " "), value)
        if n.words not in {str(measured.n) for measured in _figures(record, cell, metric.words.replace("_", " "))}:
            yield f"{metric.words} of {cell} has n {n.words}"


def _comparison(table: Table, record: Known) -> Iterator[str]:
    """Cell, metric, and the figure of each model."""
    own = [place for place, entry in enumerate(table.head[0]) if entry.words.startswith("this run")]
    for row in table.body:
        if any(row[0].words == cell.id for cell in record.cells):
            for place in own:
                yield from _other(record, row[0].words, row[1].words, row[place])


def _grid(table: Table, record: Known) -> Iterator[str]:
    """A row for each cell; figures in groups, one column for each model, behind what the cell removes."""
    names = [entry.words for entry in table.head[1]] if len(table.head) > 1 else [" ".join(table.caption.split())]
    groups = [entry.words for entry in table.head[0] if "group" in entry.classes]
    plain = [entry.words for entry in table.head[0] if "group" not in entry.classes]
    each = names[: len(names) // max(1, len(groups))] if len(table.head) > 1 else names
    places = [(group, name) for group in groups for name in each]
    for row in table.body:
        known = record.cell(_cell_of(row[0], table) or "")
        if known is None:
            continue  # one that a publication alone has
        title, more = on_one_line(known.title), ""
        if row[0].words.startswith(f"{title}{_RESAMPLED}"):
            more = row[0].words.removeprefix(f"{title}{_RESAMPLED}")
        elif row[0].words != title:
            yield f"the row of {known.id} is called {row[0].words!r}"
        cell, numbers = known.id, [entry for entry in row if "number" in entry.classes]
        for (group, name), entry in zip(places, numbers, strict=False):
            metric = _metric_of(group, more)
            if name.startswith("this run") and metric is not None:
                if entry.words != "-" and metric not in record.names:
                    yield f"{entry.words} of {cell} stands under {group!r}, which no metric is called"
                yield from _other(record, cell, metric, entry)
        if any(name.startswith("this run") for name in each):
            for head, entry in zip(plain[1:], [e for e in row if "number" not in e.classes][1:], strict=False):
                yield from _other(record, cell, head, entry)


def _metric_of(group: str, more: str) -> str | None:
    """What a heading of a grid stands for; more: which resampling a row is of."""
    region, _, measure = group.rpartition(": ")
    if measure in _OVERLAPS:
        return " ".join(filter(None, (more, region, _OVERLAPS[measure])))
    return TITLES[group].replace("_", " ") if group in TITLES else None


def _cell_of(entry: Entry, table: Table) -> str | None:
    """The cell that an entry leads to."""
    begin = f"#{table.page}--"
    return entry.href.removeprefix(begin) if entry.href is not None and entry.href.startswith(begin) else None


def _figures(record: Known, cell: str | None, shown: str) -> list[Measurement]:
    """Those of a cell that are shown by this name: one, in any record of ours."""
    return record.figures.get((cell or "", shown.replace("_", " ")), [])


def _other(record: Known, cell: str | None, head: str, entry: Entry) -> Iterator[str]:
    """In words what is shown and is not so; nothing of what is no figure."""
    if "number" in entry.classes:
        figures = _figures(record, cell, head)
        known = figures or head.replace("_", " ") in record.names
        wanted: list[Measurement | None] = [*figures] or [None]
        if head.replace("_", " ") in record.ambiguous:
            wanted.append(None)
        if known and not any(shows(measured, entry.words, entry.interval, entry.invalid) for measured in wanted):
            beside = f"{' ' if entry.interval else ''}{entry.interval}{' INVALID' if entry.invalid else ''}"
            yield f"{head} of {cell} is {entry.words}{beside}; the record has {told(figures)}"
    for each in record.cells:
        for name, value, digits in _of_edits(each) if each.id == cell else ():
            if name == head and not _alike(entry.words, value, digits):
                yield f"{head} of {cell} is {entry.words}; the record has {value}"


def _of_edits(cell: CellResult) -> Iterator[tuple[str, Any, int]]:
    """(heading, what the record has, digits) of what stands in columns besides figures."""
    edit, tuned = cell.receipt, cell.fine_tuning
    if edit is None or edit.sparsity is not None or edit.rank_share is None:
        sparsity: Any = None if edit is None else edit.sparsity
        for name in ("Sparsity", "Sparsity, or rank(ΔW) / R"):
            yield name, sparsity, 4
    yield "rank(ΔW) / R", None if edit is None else edit.rank_share, 4
    yield "Frozen", None if tuned is None else tuned.frozen_share_of_linear, 4
    yield "Examples", None if tuned is None else tuned.examples, 0
    yield "Mask", None if edit is None or edit.mask_sha256 is None else edit.mask_sha256[:8], 0
    truth = None if edit is None else edit.truth
    shares = () if truth is None else (truth.precision, truth.recall)
    shown = " / ".join("-" if share is None else f"{share:.3f}" for share in shares)
    yield "Planted: precision / recall", shown or None, 0
    for key, value in cell.parameters.items():
        yield on_one_line(key.split(".")[-1].replace("_", " ")), value, -1


def _alike(shown: str, value: Any, digits: int) -> bool:
    """digits: of a number behind its point; -1 of what is shown as it is."""
    shown = shown.removeprefix("rank ")
    if value is None:
        return shown == "-"
    if isinstance(value, float) and digits >= 0:
        return near(shown, value)
    return shown == on_one_line(str(value))
