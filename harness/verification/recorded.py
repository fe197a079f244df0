"""A record and the files of its run, opened to be read a second time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from harness.errors import UserError
from harness.reading import parsed_json
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.cell import Cell
from harness.spec.golden import GoldenFile
from harness.spec.json_text import Unfit, content_of_json, load_json_model
from harness.spec.loading import recorded_spec
from harness.spec.manifest import (
    CANARY_STATES,
    DECLARED,
    GOLDEN,
    HEADER,
    OWN_TEXTS,
    RECORD,
    below,
    canary_file,
    completions_file,
    doubts,
    own_bytes,
    own_text,
    raw_file,
)
from harness.spec.measurement import Completion, RawValues
from harness.spec.result import CellResult, RunRecord
from harness.verification.findings import Ledger
from harness.verification.points import cell_at, declared_cells

Line = TypeVar("Line", bound=BaseModel)


@dataclass(frozen=True)
class Recorded:
    """What is on disk of a run. texts, raw: by cell.

    own_texts: of the intact model, which set the limits of validity. header: run.json, empty where it cannot be read.
    texts_sha256: by cell, of the lines of its texts. canaries: by state, the texts that canaries are made of.
    bound: whether all files are those that were written with the record. as_declared: the spec as its file has it.
    """

    folder: Path
    record: RunRecord
    spec: BenchmarkSpec
    texts: Mapping[str, tuple[Completion, ...]]
    raw: Mapping[str, tuple[RawValues, ...]]
    own_texts: tuple[Completion, ...] | None
    golden: GoldenFile | None
    header: Mapping[str, Any]
    texts_sha256: Mapping[str, str | None]
    canaries: Mapping[str, tuple[Completion, ...]]
    bound: bool = True
    as_declared: BenchmarkSpec | None = None

    def entries_of(self, cell: CellResult) -> list[Any]:
        """The spec's evaluations that are measured in a cell: some only where nothing was changed, or fine-tuned."""
        tuned = cell.fine_tuning is not None
        only = {"intact": cell.receipt is None and not tuned, "fine_tuned": tuned}
        return [entry for entry in self.spec.evaluations if only.get(entry.measured_in, True)]

    @cached_property
    def declared(self) -> Mapping[str, Cell]:
        """The spec's cells by id: expanded here, by other means, and once, since every receipt asks for its own."""
        return {name: cell_at(name, group, point) for name, group, point in declared_cells(self.spec)}

    @cached_property
    def by_name(self) -> Mapping[str, object]:
        """The spec's evaluations by name."""
        return {entry.name: entry for entry in self.spec.evaluations}


def open_recorded(path: Path, ledger: Ledger) -> Recorded:
    """Read a record and what lies beside it; what does not fit together is noted.

    path: of record.json, or of the folder that holds it. Raises UserError where there is no record of this version.
    """
    path = path / RECORD if path.is_dir() else path
    record = load_json_model(path, RunRecord, "a record of this version")
    spec = recorded_spec(record.spec, path)
    folder = path.parent
    found = doubts(folder, record)
    for words in found:
        ledger.wrong("file", "the run", "manifest", words, "the files that were written")
    if not found:
        ledger.agrees["file"] += 1
    texts = {cell.id: _lines(folder, completions_file(cell.id), Completion, ledger) for cell in record.cells}
    own = _lines(folder, OWN_TEXTS, Completion, ledger) if os.path.lexists(folder / OWN_TEXTS) else None
    raw = {
        cell.id: _lines(folder, name, RawValues, ledger) if os.path.lexists(folder / name) else ()
        for cell in record.cells
        for name in [raw_file(cell.id)]
    }
    hashes = {cell.id: _sha256(folder, completions_file(cell.id)) for cell in record.cells}
    golden, header = _golden(folder, ledger), _header(folder, ledger)
    canaries = {
        state: _lines(folder, name, Completion, ledger)
        for state in CANARY_STATES
        if os.path.lexists(folder / (name := canary_file(state)))
    }
    declared = _declared(folder)
    return Recorded(
        folder, record, spec, texts, raw, own, golden, header, hashes, canaries, bound=not found, as_declared=declared
    )


def _sha256(folder: Path, name: str) -> str | None:
    """Of the text of a compressed file; None where it cannot be read, which is noted elsewhere."""
    try:
        return hashlib.sha256(own_text(folder, name).encode()).hexdigest()
    except UserError:
        return None


def _header(folder: Path, ledger: Ledger) -> dict[str, Any]:
    """run.json. What is no object is noted."""
    try:
        content = parsed_json(own_bytes(folder, HEADER).decode("utf-8"))
    except (ValueError, UserError) as error:
        ledger.wrong("file", "the run", HEADER, str(error).replace(f"{folder}{os.sep}", ""), "the keys of the run")
        return {}
    if not isinstance(content, dict):
        ledger.wrong("file", "the run", HEADER, "no object", "the keys of the run")
    return content if isinstance(content, dict) else {}


def _declared(folder: Path) -> BenchmarkSpec | None:
    """The spec as its file has it; None where it is missing or no spec, which is noted where it is needed."""
    try:
        content = parsed_json(own_bytes(folder, DECLARED).decode("utf-8"))
        return recorded_spec(content, folder / DECLARED) if isinstance(content, dict) else None
    except (ValueError, UserError):
        return None


def _golden(folder: Path, ledger: Ledger) -> GoldenFile | None:
    """The golden values that the run was compared with, if there were any."""
    try:
        content = parsed_json(own_bytes(folder, GOLDEN).decode("utf-8"))
        return None if content is None else GoldenFile.model_validate(content)
    except ValueError as error:  # other bytes than UTF-8, other text than JSON, other JSON than golden values
        ledger.wrong("file", "the run", GOLDEN, str(error), "golden values")
    except UserError as error:
        ledger.wrong("file", "the run", GOLDEN, below(folder, error), "a file of the run")
    return None


def _lines(folder: Path, name: str, model: type[Line], ledger: Ledger) -> tuple[Line, ...]:
    """Compressed JSON lines of a file of the run, none of one that cannot be read, which is noted."""
    adapter = TypeAdapter(model)
    try:
        # Not splitlines: a text may hold U+2028 and its like, which JSON leaves as they are.
        return tuple(content_of_json(line, adapter) for line in own_text(folder, name).split("\n") if line)
    except Unfit as error:
        ledger.wrong("file", "the run", name, str(error), "one JSON object a line")
    except UserError as error:
        ledger.wrong("file", "the run", name, below(folder, error), "a file of the run")
    return ()
