"""Tables of drift, held against the record: ratios of two groups by each statistic, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.reports.read_back.known import Known, on_one_line, shows, told
from harness.reports.read_back.parsed import Table
from harness.spec.measurement import Measurement

#: How such a table begins.
BEGIN = "First / second, at the last checkpoint"
_SIZES = "mean |w| before"


def of_ratios(table: Table, record: Known) -> Iterator[str]:
    """In words, what stands under another heading than its own. The caption says whose fine-tuning it is."""
    caption = " ".join(table.caption.split())
    if not caption.startswith("this run"):
        return
    pairs = [entry.words for entry in table.head[0][1:]]
    own = [
        (cell.id, entry)
        for cell in record.cells
        for entry in record.record.spec.get("evaluations", ())
        if entry.get("groups") and caption.endswith(f": {on_one_line(cell.id)}, {entry.get('merge_dtype', 'float32')}")
    ]
    found = [list(_wrong(table, cell, entry, pairs, record)) for cell, entry in own]
    if not found:
        yield f"a table of ratios is called {caption!r}, and no fine-tuning is"
    yield from min(found, key=len, default=[])


def _wrong(table: Table, cell: str, entry: Mapping[str, Any], pairs: list[str], record: Known) -> Iterator[str]:
    names = [f"{pair['first']}_over_{pair['second']}" for pair in entry.get("compare", ())]
    if pairs != [on_one_line(name.replace("_", " ")) for name in names]:
        yield f"the ratios of {cell} have the headings {pairs}; the spec compares {names}"
        return
    for row in table.body:
        statistic = row[0].words
        for number, name in enumerate(names):
            end = "magnitude_mean" if statistic == _SIZES else f"{statistic.replace(' ', '_')}/last"
            measured = record.measured[cell].get(f"{entry.get('name', entry.get('kind'))}_{name}/{end}")
            if measured is not None and measured.value is None:
                measured = None
            ratio, outcome = row[1 + 2 * number], row[2 + 2 * number]
            if not shows(measured, ratio.words, ratio.interval, ratio.invalid):
                has = told([measured] if measured else [])
                yield f"{statistic} of {pairs[number]} in {cell} is {ratio.words}; the record has {has}"
            wanted = "-" if statistic == _SIZES else _said(measured)
            if outcome.words != wanted:
                yield f"{statistic} of {pairs[number]} in {cell} says {outcome.words!r}; its interval says {wanted!r}"


def _said(measured: Measurement | None) -> str:
    """Whether the first group drifts more."""
    if measured is None or measured.interval is None or not measured.valid:
        return "-"
    low, high = measured.interval
    if low < 1 <= high:
        return "underpowered"
    return "supported" if low >= 1 else "contradicted"
