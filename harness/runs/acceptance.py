"""Golden values written from a record, with a reason, never from an invalid one and never over a published one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.errors import UserError
from harness.reading import read_text
from harness.runs.binding import load_golden
from harness.runs.files import write_instead
from harness.runs.journal import read_record
from harness.runs.misjudged import misjudged
from harness.runs.second_reading import not_verified
from harness.runs.tolerances import NearTies, near_ties, not_compared, regression, replication
from harness.spec import locations
from harness.spec.benchmark import recorded_evaluations
from harness.spec.golden import GoldenFile, GoldenSource, GoldenTask, GoldenValue
from harness.spec.loading import recorded_spec
from harness.spec.manifest import doubts, shown
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult, RunRecord
from harness.storage import Seen, seen
from harness.verification.accepted import check_accepted, ties_again


@dataclass(frozen=True)
class Change:
    """One golden value before and after; None where there was or will be none. note: why it stays, if it does."""

    cell: str
    metric: str
    old: float | None
    new: float | None
    note: str = ""


def bound_record(path: Path) -> RunRecord:
    """A record that becomes golden values: borne out by the files beside it, and judged as its own parts say.

    Raises UserError that names the record and what is wrong with it.
    """
    record = read_record(path)
    if record.texts_taken_out_of is not None:
        raise UserError(f"{path}: becomes no golden value: its texts were taken out; give the run that it is a copy of")
    found = doubts(path.parent, record) or list(misjudged(record, recorded_spec(record.spec, path)))
    found = found or not_verified(path)
    if found:
        raise UserError(
            f"{path}: becomes no golden value, since nothing bears it out: {shown(found)}; run the benchmark again"
        )
    return record


def ties_beside(path: Path, record: RunRecord) -> dict[tuple[str, str], int]:
    """The near ties of a record's greedy texts, from the files beside it. Raises UserError."""
    return near_ties(path.parent, record, recorded_spec(record.spec, path))


def accept(record: RunRecord, reason: str, ties: NearTies) -> tuple[list[Change], GoldenFile]:
    """The golden file that a record makes, and what it changes. Raises UserError for an invalid record.

    Values with a publication stay as they are: what a paper prints is no matter of a run. ties: see `ties_beside`.
    """
    if record.verdict.status in ("invalid", "unfit"):
        called = f"the record is {record.verdict.status.upper()} and becomes no golden value: "
        raise UserError(called + "; ".join(record.verdict.reasons[:3]))
    if not reason.strip():
        raise UserError("--reason must say why these values are the right ones")
    variant, benchmark = record.variant["name"], record.spec["id"]
    old = load_golden(variant, benchmark)
    published = tuple(value for value in (old.values if old else ()) if value.source.publication)
    taken = {(value.cell, value.metric) for value in published}
    facts = record.provenance
    source = GoldenSource(
        record=record.id,
        manifest_sha256=record.manifest_sha256,
        reason=reason.strip(),
        commit=facts.commit,
        machine=facts.machine,
    )
    measured = {(cell.id, m.metric): m for cell in record.cells for m in cell.measurements if m.value is not None}
    cells = {cell.id: cell for cell in record.cells}
    values = tuple(
        _golden_value(cells[cell], figure, source, ties)
        for (cell, metric), figure in measured.items()
        if (cell, metric) not in taken
    )
    claims = {claim.id: claim.status for claim in record.claims}
    new = GoldenFile(
        variant=variant,
        benchmark=benchmark,
        source=source,
        tasks=_tasks(record),
        values=(*published, *values),
        claims=claims,
    )
    notes = {(value.cell, value.metric): _kept(value, measured.get((value.cell, value.metric))) for value in published}
    return _changes(old, new, notes), new


def derive_tolerances(record: RunRecord, reason: str, ties: NearTies) -> GoldenFile:
    """The golden file as it is, values and claims, with tolerances that follow from what a record measured.

    Where another processor made the values, a run here gives other last digits of them: the file keeps its own.
    Raises UserError without a reason or a file, for an invalid record, and where a golden value lies outside of what
    the record allows: neighbours are as far from it as from what was measured, so that no figure that moved passes.
    """
    if record.verdict.status in ("invalid", "unfit") or not reason.strip():
        raise UserError("the record must be neither INVALID nor UNFIT, and --reason must say why")
    variant, benchmark = record.variant["name"], record.spec["id"]
    old = load_golden(variant, benchmark)
    if old is None:
        raise UserError(f"there are no golden values of {benchmark} on {variant}: make them without --tolerances-only")
    measured = {(cell.id, m.metric): m for cell in record.cells for m in cell.measurements if m.value is not None}
    cells = {cell.id: cell for cell in record.cells}
    facts = record.provenance
    words = f"{record.id}, commit {facts.commit}, {facts.machine}: {reason.strip()}"
    values, outside = [], []
    for value in old.values:
        found = measured.get((value.cell, value.metric))
        if value.source.publication or found is None or found.value is None:
            values.append(value)
            continue
        moved = value.value - found.value
        neighbours = found.neighbours and tuple(neighbour + moved for neighbour in found.neighbours)
        at_golden = found.model_copy(update={"value": value.value, "neighbours": neighbours})
        derived = _golden_value(cells[value.cell], at_golden, value.source, ties)
        if value.valid and not derived.not_compared and not abs(found.value - value.value) <= derived.same.width:
            outside.append(f"{value.cell}: {value.metric} is {found.value:.6g}, golden {value.value:.6g}")
        source = value.source.model_copy(update={"tolerances": words})
        values.append(derived.model_copy(update={"valid": value.valid, "source": source}))
    if outside:
        raise UserError("these figures moved by more than what is derived from the record:\n" + "\n".join(outside))
    of_file = old.source.model_copy(update={"tolerances": words}) if old.source else None
    return GoldenFile.model_validate(old.model_copy(update={"source": of_file, "values": tuple(values)}).model_dump())


def _tasks(record: RunRecord) -> dict[str, GoldenTask]:
    """The zero-shot tasks that were measured, with the number of items of each: the same in every cell."""
    evaluations = [entry for entry in recorded_evaluations(record.spec) if entry.asks_tasks]
    found: dict[str, GoldenTask] = {}
    for cell, evaluation in itertools.product(record.cells, evaluations):
        for task, words in cell.task_hashes.items():
            measured = cell.measurement(evaluation.task_metric(task))
            if measured is not None and measured.n:
                found[task] = GoldenTask.from_record(words, measured.n)
    return dict(sorted(found.items()))


def _golden_value(cell: CellResult, measured: Measurement, source: GoldenSource, ties: NearTies) -> GoldenValue:
    if measured.value is None:
        raise ValueError(f"{cell.id}: {measured.metric} has no value that could become golden")
    return GoldenValue(
        cell=cell.id,
        metric=measured.metric,
        value=measured.value,
        valid=measured.valid,
        tolerance=replication(measured),
        regression=regression(cell, measured, ties),
        not_compared=not_compared(measured),
        source=source,
    )


def _kept(value: GoldenValue, measured: Measurement | None) -> str:
    shown = "the record has none" if measured is None else f"the record has {measured.value:.6g}"
    return f"kept: published in {value.source.publication}; {shown}"


@dataclass(frozen=True)
class Before:
    """The golden files of a benchmark on a variant before a record becomes one: where it will be, and what is there.

    place: what lies where it will be. used: the text of the one in use, which may lie elsewhere. record: the one that
    becomes golden. ties: of its greedy texts, counted a second time; None where they are not at hand.
    """

    place: Seen
    used: str
    record: RunRecord
    ties: NearTies | None

    @classmethod
    def of(cls, record: RunRecord, beside: Path | None) -> Before:
        """Raises UserError where no catalogue can be written to; nothing is ever written into an installed package.

        beside: the record's file, beside which its texts lie; None of a record that is no file.
        """
        names = record.variant["name"], record.spec["id"]
        path, used = locations.golden_target(*names), locations.golden_path(*names)
        place, in_use = seen(path), read_text(used) if used.is_file() else ""
        return cls(place, in_use, record, None if beside is None else ties_again(beside))


def write_golden(golden: GoldenFile, before: Before) -> Path:
    """Write a golden file to the user's catalogue, under the comment that heads the one in use. Returns its place.

    Raises UserError where the file that is there is no longer the one that the new one was compared with: of two
    commands at once, each would say that its values are in force. Raises Miswritten, and writes nothing, where the
    text does not say what the record says.
    """
    lines = before.used.splitlines(keepends=True)
    comment = itertools.takewhile(lambda line: line.startswith("#") or not line.strip(), lines)
    text = "".join(comment) + golden_yaml(golden)
    check_accepted(text, before.record, before.used, before.ties)
    write_instead(before.place, text)
    return before.place.path


def golden_yaml(golden: GoldenFile) -> str:
    """The file's text: one line for each value, so that a change of values is a change of lines."""
    content = golden.model_dump(mode="json", exclude_none=True)
    if not golden.tasks:
        del content["tasks"]
    values = content.pop("values")
    claims = {"claims": content.pop("claims")}
    lines = [
        "- "
        + yaml.safe_dump(
            _shortened(value, content.get("source")), sort_keys=False, default_flow_style=True, width=10**6
        )
        for value in values
    ]
    head, tail = (yaml.safe_dump(part, sort_keys=False, width=120) for part in (content, claims))
    return head + ("values:\n" + "".join(lines) if lines else "values: []\n") + (tail if claims["claims"] else "")


def _shortened(value: dict[str, object], source: object) -> dict[str, object]:
    """Without the source that the whole file has, and without `valid: true`, which is the rule."""
    left_out = {"source": source, "valid": True}
    return {key: entry for key, entry in value.items() if key not in left_out or entry != left_out[key]}


def _changes(old: GoldenFile | None, new: GoldenFile, notes: Mapping[tuple[str, str], str]) -> list[Change]:
    before = {(value.cell, value.metric): value.value for value in (old.values if old else ())}
    after = {(value.cell, value.metric): value.value for value in new.values}
    return [Change(*key, before.get(key), after.get(key), notes.get(key, "")) for key in sorted({*before, *after})]
