"""Figures of raw values: what was seen of items, windows, layers, heads and groups of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from harness.spec.measurement import Measurement, RawValues
from harness.spec.result import CellResult
from harness.verification import drifts, heads, layers, scored
from harness.verification.findings import Ledger
from harness.verification.rates import Figure
from harness.verification.recorded import Recorded

Rows = Sequence[RawValues]
#: What rows are called by: part and index.
Place = tuple[str, int]
#: So many places of an evaluation are missed one by one: whoever wrote the record may have written any number.
_MISSED = 10_000
#: The evidence of a receipt.
Counted = Mapping[str, object]


@dataclass(frozen=True)
class _Kind:
    """How one kind of evaluation is read.

    figures: of a cell's rows; the last argument has what is recorded. places: which rows a cell has to have, from those
    of all cells and from what its receipt `counted_by` has counted in the data. problem: why one row cannot be, or
    None. unread: parts of metrics that no row decides.
    """

    figures: Callable[[Any, Rows, Mapping[str, Measurement]], list[Figure]]
    places: Callable[[Any, CellResult, Rows, Counted], Iterable[Place]]
    problem: Callable[[Any, RawValues], str | None]
    unread: Callable[[Any], Sequence[str]] = lambda entry: ()
    counted_by: str | None = None


_KINDS: Mapping[str, _Kind] = {
    "zero_shot": _Kind(scored.accuracies, scored.item_places, scored.item_problem, counted_by="zero-shot-items"),
    "perplexity": _Kind(
        scored.perplexity, scored.window_places, scored.window_problem, counted_by="perplexity-windows"
    ),
    "overlap": _Kind(layers.overlaps, layers.overlap_places, layers.overlap_problem),
    "rescored_overlap": _Kind(layers.rescored_overlaps, layers.overlap_places, layers.overlap_problem),
    "subspace_similarity": _Kind(layers.similarities, layers.similarity_places, layers.similarity_problem),
    "probing": _Kind(heads.accuracies, heads.places, heads.problem),
    "drift": _Kind(drifts.figures, drifts.places, drifts.problem, drifts.unread),
}


def is_read(kind: str) -> bool:
    """Whether figures of this kind of evaluation are made of raw values here."""
    return kind in _KINDS


def partly_unread(entry: Any) -> str | None:
    """Figures of an evaluation that nothing on disk decides, in words that the record has to have as well."""
    unread = unread_parts(entry)
    return f"evaluation {entry.name}: nothing on disk decides {', '.join(unread)}" if unread else None


def unread_parts(entry: Any) -> Sequence[str]:
    """Parts of names of an evaluation's metrics that nothing on disk decides."""
    return _KINDS[entry.kind].unread(entry) if entry.kind in _KINDS else ()


def raw_figures(run: Recorded, cell: CellResult, entries: Sequence[Any], ledger: Ledger) -> list[Figure]:
    """Figures of a cell's evaluations that have raw values; places that are missing, or hold what cannot be, are noted.

    entries: the evaluations that are measured in the cell.
    """
    found: list[Figure] = []
    recorded = {measured.metric: measured for measured in cell.measurements}
    asked = [entry for entry in entries if entry.kind in _KINDS]
    named = {entry.name for entry in asked}
    for row in run.raw.get(cell.id, ()):
        if row.evaluation not in named:
            ledger.wrong("raw", cell.id, _called(row), "there", "none: the cell has no such evaluation")
    for entry in asked:
        rows = [row for row in run.raw.get(cell.id, ()) if row.evaluation == entry.name]
        if _checked(run, cell, entry, rows, ledger):
            found += _KINDS[entry.kind].figures(entry, rows, recorded)
    return found


def _checked(run: Recorded, cell: CellResult, entry: Any, rows: Rows, ledger: Ledger) -> bool:
    """Whether figures can be made of the rows: each there once, and such as it can be."""
    kind = _KINDS[entry.kind]
    every = [row for each in run.record.cells for row in run.raw.get(each.id, ()) if row.evaluation == entry.name]
    most = len(rows) + _MISSED
    places = list(islice(kind.places(entry, cell, every, _counted(run, cell, entry)), most))
    wanted = [(entry.name, *place) for place in places]
    ledger.each_once("raw", cell.id, [(row.evaluation, row.part, row.index) for row in rows], wanted)
    first = {(row.part, row.index): (row.right, row.n, len(row.values)) for row in reversed(every)}
    sound = bool(rows)
    for row in rows:
        if entry.asks_tasks:  # the right answers are those of the item, whatever the model
            ledger.same("item", cell.id, _called(row), (row.right, row.n, len(row.values)), first[row.part, row.index])
        if (problem := kind.problem(entry, row)) is not None:
            ledger.wrong("raw", cell.id, _called(row), list(row.values) or list(row.right), problem)
            sound = False
    return sound


def _counted(run: Recorded, cell: CellResult, entry: Any) -> Counted:
    """What the receipt of an evaluation has counted in its data; receipts come in the order of the evaluations."""
    name = _KINDS[entry.kind].counted_by
    receipts = [receipt for receipt in cell.receipts if receipt.stage == "scorer" and receipt.name == name]
    number = [each.name for each in run.entries_of(cell) if each.kind == entry.kind].index(entry.name)
    return receipts[number].evidence if number < len(receipts) else {}


def _called(row: RawValues) -> str:
    return " ".join(str(each) for each in (row.evaluation, row.part, row.index) if each != "")
