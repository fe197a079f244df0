"""A golden file that a record became, read back as plain YAML: each value is the figure of its own cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.spec.result import RunRecord
from harness.verification.findings import Ledger
from harness.verification.plain_files import plain_yaml
from harness.verification.recorded import open_recorded
from harness.verification.widths import Ties, near_ties, wrong_widths

_Place = tuple[str, str]
#: What differs, in words, of which so many are told.
_TOLD = 3


class Miswritten(RuntimeError):
    """A golden file that says something else than its record: a fault of ours."""


def check_accepted(text: str, record: RunRecord, before: str, ties: Ties | None) -> None:
    """Raises Miswritten where a golden file is not what its record and the file before it say.

    text: that is to be written. before: of the file in use, empty where there is none. Values of the record are its
    figures, all of them, and its claims its outcomes; those of a publication, and of other records, stay as they were.
    Widths follow from its figures. ties: near ties of its greedy texts; None where its texts are not at hand.
    """
    content = _content(text)
    found = [*_differences(content, record, _content(before)), *_widths(content, record, ties)]
    if found:
        more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        raise Miswritten(f"the golden file would not say what {record.id} says: {'; '.join(found[:_TOLD])}{more}")


def not_as_recorded(text: str, path: Path) -> list[str]:
    """What a golden file says that a run which it comes from does not, in words.

    text: of the golden file, which was read already. path: of the run's record. Raises UserError where it is none.
    """
    content, run = _content(text), open_recorded(path, Ledger())
    found, known = list[str](), run.record.manifest_sha256
    sources = [content.get("source") or {}, *(source for *_, source in _values(content).values())]
    for each in {str(source.get("manifest_sha256")) for source in sources if source.get("record") == run.record.id}:
        if each not in ("None", known):
            found.append(f"manifest_sha256 is {each[:12]}, that of the run {str(known)[:12]}")
    ties = near_ties(run.texts, run.spec, str(run.record.variant["dtype"]))
    return [*found, *_differences(content, run.record, content), *_widths(content, run.record, ties)]


def ties_again(path: Path) -> Ties:
    """Near ties of the greedy texts beside a record, by (cell, metric). Raises UserError where there is no record."""
    run = open_recorded(path, Ledger())
    return near_ties(run.texts, run.spec, str(run.record.variant["dtype"]))


def _content(text: str) -> Mapping[str, Any]:
    content = plain_yaml(text)
    return content if isinstance(content, dict) else {}


def _differences(new: Mapping[str, Any], record: RunRecord, old: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted in (("variant", record.variant.get("name")), ("benchmark", record.spec.get("id"))):
        if new.get(key) != wanted:
            yield f"its {key} is {new.get(key)}, the record's {wanted}"
    figures = {
        (c.id, m.metric): (m.value, m.valid) for c in record.cells for m in c.measurements if m.value is not None
    }
    values, kept = _values(new), _values(old)
    # Values whose tolerances alone were derived anew name the run of that, and stay.
    sources = {place: value[2] for place, value in values.items()}
    own = {place for place, told in sources.items() if told.get("record") == record.id and "tolerances" not in told}
    for place, (number, valid, _) in values.items():
        wanted = figures.get(place) if place in own else kept.get(place, (None, None))[:2]
        if wanted != (number, valid):
            yield f"{place[1]} of {place[0]} is {_words((number, valid))}, where {_words(wanted)} was to be expected"
    if len(values) != len(new.get("values", ())):
        yield "a figure stands in it twice"
    if own:
        missing = figures.keys() - values.keys()
        yield from (f"{metric} of {cell} is missing" for cell, metric in sorted(missing))
        outcomes = {claim.id: claim.status for claim in record.claims}
        if (new.get("claims") or {}) != outcomes:
            yield f"its claims are {new.get('claims') or {}}, the record's {outcomes}"


def _widths(new: Mapping[str, Any], record: RunRecord, ties: Ties | None) -> Iterator[str]:
    """Tolerances that do not follow from the figures of the record that they were derived from."""
    cells = {cell.id: cell for cell in record.cells}
    figures = {(cell.id, m.metric): m for cell in record.cells for m in cell.measurements if m.value is not None}
    for each in new.get("values", ()):
        source, place = each.get("source") or new.get("source") or {}, (each["cell"], each["metric"])
        by = str(source.get("tolerances") or source.get("record") or "").split(",")[0]
        if by == record.id and place in figures:
            own = None if ties is None else ties.get(place, 0)
            for words in wrong_widths(each, figures[place], cells[place[0]], own):
                yield f"{place[1]} of {place[0]} {words}"


def _values(content: Mapping[str, Any]) -> dict[_Place, tuple[Any, bool, Mapping[str, Any]]]:
    """(value, whether it is valid, source) by cell and metric; a value without a source has that of the file."""
    source = content.get("source") or {}
    return {
        (each["cell"], each["metric"]): (each["value"], each.get("valid", True), each.get("source") or source)
        for each in content.get("values", ())
    }


def _words(value: tuple[Any, Any] | None) -> str:
    if value is None or value[0] is None:
        return "none"
    return f"{value[0]}" if value[1] else f"{value[0]}, invalid"
