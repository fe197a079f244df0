"""What a report shows, read back from its HTML and held against the records: a figure under another cell is an error.

Tables of cells, of measurements and of grids are read, and what points of figures say. Where a point is drawn is not.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from harness.reports.parsed import Entry, Parsed, Point, Table
from harness.shown import passed_on
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult, RunRecord

#: Titles of figures and tables, and the metrics that they stand for.
_TITLES = {
    "ASR vanilla": "asr_vanilla",
    "ASR adv_suffix": "asr_adv_suffix",
    "ASR adv_decoding": "asr_adv_decoding",
    "Accuracy (mean)": "accuracy_mean",
    "accuracy": "accuracy_mean",
}
_POINT = re.compile(r"(?P<cell>\S+) \(this run: .*?\)(?:, [^:]*)?: (?P<figures>.*)", re.DOTALL)
_FIGURE = re.compile(r"(?P<title>.+?) (?P<value>no value|-?\d\S*)(?: (?P<interval>\[.*?\]))?(?P<invalid> INVALID)?")
_NO_NUMBER = ("-", "no value")


class Misreported(RuntimeError):
    """A report that shows something else than its records say: a fault of ours, whoever made the records."""


@dataclass(frozen=True)
class Known:
    """A record, and its measurements by cell and the name that they are shown by: a page asks for thousands."""

    record: RunRecord

    @property
    def id(self) -> str:
        """The run's."""
        return self.record.id

    @property
    def cells(self) -> Sequence[CellResult]:
        """All of the run."""
        return self.record.cells

    def cell(self, name: str) -> CellResult | None:
        """The one of this id, if there is one."""
        return self.record.cell(name)

    @functools.cached_property
    def figures(self) -> dict[tuple[str, str], list[Measurement]]:
        """By id of cell and name."""
        found: dict[tuple[str, str], list[Measurement]] = {}
        for cell in self.cells:
            for measured in cell.measurements:
                for name in _shown_names(measured.metric):
                    found.setdefault((cell.id, name), []).append(measured)
        return found

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """Those of any cell."""
        return frozenset(name for _, name in self.figures)

    @functools.cached_property
    def ambiguous(self) -> frozenset[str]:
        """Names that several metrics are shown by, of which a cell may lack one: none of ours, some of strangers'."""
        metrics: dict[str, set[str]] = {}
        for (_, name), found in self.figures.items():
            metrics.setdefault(name, set()).update(measured.metric for measured in found)
        return frozenset(name for name, several in metrics.items() if len(several) > 1)


def check_shown(html: str, records: Mapping[str, RunRecord]) -> None:
    """Raises Misreported with the first figures that are others than the records have. records: by anchor of page."""
    parsed, known = Parsed(html), {page: Known(record) for page, record in records.items()}
    found = [words for table in parsed.tables if table.page in known for words in _of_table(table, known)]
    found += [words for point in parsed.points if point.page in known for words in _of_point(point, known)]
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise Misreported(f"the report shows other figures than its records have: {'; '.join(found[:3])}{more}")


def _of_table(table: Table, records: Mapping[str, Known]) -> Iterator[str]:
    record = records[table.page]
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
        cell = _cell_of(row[0], table)
        if cell is None or record.cell(cell) is None:
            continue  # one that a publication alone has
        numbers = [entry for entry in row if "number" in entry.classes]
        for (group, name), entry in zip(places, numbers, strict=False):
            if name.startswith("this run") and group in _TITLES:
                yield from _other(record, cell, _TITLES[group].replace("_", " "), entry)
        if any(name.startswith("this run") for name in each):
            for head, entry in zip(plain[1:], [e for e in row if "number" not in e.classes][1:], strict=False):
                yield from _other(record, cell, head, entry)


def _of_point(point: Point, records: Mapping[str, Known]) -> Iterator[str]:
    """A point of this run: it leads to its cell, and says that cell's figures."""
    told = _POINT.fullmatch(point.text)
    record = records[point.page]
    if told is None or record.cell(told["cell"]) is None:
        return
    if point.href is not None and point.href != f"#{point.page}--{told['cell']}":
        yield f"a point of {told['cell']} leads to {point.href}"
    for part in told["figures"].split("; "):
        figure = _FIGURE.fullmatch(part)
        if figure is not None and figure["title"] in _TITLES:
            entry = Entry(
                "title", frozenset(), figure["value"], None, figure["interval"] or "", bool(figure["invalid"])
            )
            yield from _other(record, told["cell"], _TITLES[figure["title"]].replace("_", " "), entry)


def _cell_of(entry: Entry, table: Table) -> str | None:
    """The cell that an entry leads to."""
    begin = f"#{table.page}--"
    return entry.href.removeprefix(begin) if entry.href is not None and entry.href.startswith(begin) else None


def _figures(record: Known, cell: str | None, shown: str) -> list[Measurement]:
    """Those of a cell that are shown by this name: one, in any record of ours."""
    return record.figures.get((cell or "", shown.replace("_", " ")), [])


@functools.lru_cache(maxsize=10_000)
def _shown_names(metric: str) -> frozenset[str]:
    """How a metric is called, in columns and in rows: what must not be passed on is spelled out before or after."""
    names = (_on_one_line(metric), _on_one_line(metric.replace("_", " ")))
    return frozenset(name.replace("_", " ") for name in names)


def _on_one_line(text: str) -> str:
    return " ".join(passed_on(text).split())


def _other(record: Known, cell: str | None, head: str, entry: Entry) -> Iterator[str]:
    """In words what is shown and is not so; nothing of what is no figure."""
    if "number" in entry.classes or entry.tag == "title":
        figures = _figures(record, cell, head)
        known = figures or head.replace("_", " ") in record.names
        wanted: list[Measurement | None] = [*figures] or [None]
        if head.replace("_", " ") in record.ambiguous:
            wanted.append(None)
        if known and not any(_is(measured, entry) for measured in wanted):
            beside = f"{' ' if entry.interval else ''}{entry.interval}{' INVALID' if entry.invalid else ''}"
            yield f"{head} of {cell} is {entry.words}{beside}; the record has {_told(figures)}"
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
        yield _on_one_line(key.split(".")[-1].replace("_", " ")), value, -1


def _alike(shown: str, value: Any, digits: int) -> bool:
    """digits: of a number behind its point; -1 of what is shown as it is."""
    shown = shown.removeprefix("rank ")
    if value is None:
        return shown == "-"
    if isinstance(value, float) and digits >= 0:
        return _near(shown, value)
    return shown == _on_one_line(str(value))


def _is(measured: Measurement | None, entry: Entry) -> bool:
    """Whether an entry shows a measurement: its value, interval, and whether it counts."""
    if measured is None:
        return entry.words == "-" and not entry.interval and not entry.invalid
    if measured.value is None or not math.isfinite(measured.value):
        shown = entry.words in _NO_NUMBER
    else:
        shown = _near(entry.words, measured.value)
    ends: Sequence[str] = entry.interval.strip().strip("[]").split(", ") if entry.interval.strip() else ()
    alike = len(ends) == len(measured.interval or ()) and all(map(_near, ends, measured.interval or ()))
    return shown and alike and entry.invalid is not measured.valid


def _near(shown: str, value: float) -> bool:
    """Whether a number is shown, rounded to the digits that there are."""
    try:
        number = Decimal(shown)
    except InvalidOperation:
        return not math.isfinite(value) and shown == f"{value}"
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not math.isfinite(value):
        return shown == f"{value}"
    return abs(float(number) - value) <= 0.5000001 * 10.0**exponent


def _told(figures: Sequence[Measurement]) -> str:
    if not figures:
        return "none"
    measured = figures[0]
    value = "no value" if measured.value is None else f"{measured.value:.6g}"
    return value if measured.valid else f"{value}, INVALID"
