"""The folder of one run. A finished cell is on disk before the next begins."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.errors import UserError
from harness.reading import read_bytes, read_json
from harness.runs.canaries_found import Canaries
from harness.runs.files import write_file, write_text, writing_error
from harness.runs.outdated import take_away_outdated
from harness.runs.run_names import RunName
from harness.spec import manifest
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile
from harness.spec.json_text import Unfit, content_of_json, load_json_model
from harness.spec.manifest import (
    CANARIES,
    CANARIES_MADE_BY,
    CANARY_STATES,
    DECLARED,
    GOLDEN,
    HEADER,
    LOCK,
    OWN_TEXTS,
    RECORD,
    canary_file,
    cell_file,
    completions_file,
    compressed,
    files_of_cell,
    raw_file,
    requests_file,
    text_of,
)
from harness.spec.measurement import Completion, RawValues
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult, RunRecord
from harness.storage import IsLocked, clear_leftovers, locked

#: A record that has not been read a second time; what begins with a dot is no file of the run.
CANDIDATE = ".record.json"
#: Which runs an interrupted session would take up, in the output folder.
NOTE = "unfinished-{}.json"
_RECEIPTS, _COMPLETION = TypeAdapter(tuple[StageReceipt, ...]), TypeAdapter(Completion)


@dataclass(frozen=True)
class Journal:
    """runs/<variant>/<benchmark>/<time>-<key>/: header, canaries, one file a cell, completions, manifest, record.

    outdated: cells that an interrupted run had finished and that other code or data make now, each with the reason.
    keys: of what decides the figures of each cell now. A cell is written with its own, and counts only by it; where
    there are none, as for whoever only reads, every cell counts. canaries_key: the same of the canaries.
    """

    directory: Path
    outdated: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    canaries_key: str = ""

    @property
    def id(self) -> str:
        """`<variant>/<benchmark>/<time>-<key>`, which names the run wherever its folder lies."""
        return "/".join(self.directory.parts[-3:])

    def finished(self, cell_id: str) -> CellResult | None:
        """The result of a cell that an interrupted run has finished; None if it is missing, damaged or changed."""
        result = None if self._doubts(cell_id) else self._result(cell_id)
        return None if result is None or self._is_of_other_code(result) else result

    def departure(self, cell_id: str) -> str | None:
        """Why a cell that was on disk does not count, such as which file is damaged. None of one that was not there."""
        if cell_id in self.outdated:
            return self.outdated[cell_id]
        if not os.path.lexists(self._cell_path(cell_id)) or self.finished(cell_id) is not None:
            return None
        other = self._result(cell_id) is not None
        why = f"{cell_file(cell_id)} is {'of other code or data' if other else 'no cell of this version'}"
        return next(iter(self._doubts(cell_id)), why)

    def _is_of_other_code(self, result: CellResult) -> bool:
        return bool(self.keys) and result.made_by_sha256 != self.keys.get(result.id)

    def _doubts(self, cell_id: str) -> list[str]:
        try:
            known = manifest.read_manifest(self.directory)
        except UserError as error:
            return [manifest.below(self.directory, error)]
        if known.id != self.id:
            return [f"{manifest.MANIFEST} is of another run, {known.id}"]
        result, texts, raw = files_of_cell(cell_id)
        names = [result, texts, *(name for name in known.files if name == raw)]
        return [doubt for name in names if (doubt := known.doubt(self.directory, name)) is not None]

    def _result(self, cell_id: str) -> CellResult | None:
        try:
            result = load_json_model(self._cell_path(cell_id), CellResult, "a cell of this version")
        except UserError:
            return None
        return result if result.id == cell_id else None

    def write_cell(self, result: CellResult, completions: Sequence[Completion], raw: Sequence[RawValues] = ()) -> None:
        """Write a finished cell: completions and raw values, one JSON object a line, then the result."""
        text = _lines_of(completions)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        whole = result.model_copy(update={"completions_sha256": sha256, "made_by_sha256": self.keys.get(result.id)})
        self._write(whole, compressed(text), compressed(_lines_of(raw)) if raw else None)

    def adopt(self, result: CellResult, owner: Journal, owner_cell: str) -> None:
        """Write a cell that another benchmark of this run has measured, under this benchmark's names."""
        texts = read_bytes(owner.completions_path(owner_cell))
        path = owner.directory / raw_file(owner_cell)
        raw = read_bytes(path) if path.exists() else None
        self._write(result.model_copy(update={"measured_in": f"{owner.id}#{owner_cell}"}), texts, raw)

    def _write(self, result: CellResult, completions: bytes, raw: bytes | None) -> None:
        figures = tuple(measured.as_json_can_hold() for measured in result.measurements)
        whole = result.model_copy(update={"measurements": figures})
        cell = whole.model_dump_json(indent=1)
        contents: dict[str, str | bytes] = {completions_file(result.id): completions}
        contents |= {} if raw is None else {raw_file(result.id): raw}
        self._write_noted({**contents, cell_file(result.id): cell})

    def _write_noted(self, contents: Mapping[str, str | bytes]) -> None:
        """Write files of the run in this order, after the manifest has their hashes."""
        whole = {name: content.encode() if isinstance(content, str) else content for name, content in contents.items()}
        try:
            manifest.note(self.directory, self.id, whole)
        except OSError as error:
            raise writing_error(error, self.directory / manifest.MANIFEST) from None
        for name, content in whole.items():
            write_file(self.directory / name, content)

    def canaries(self) -> Canaries | None:
        """The canaries of an interrupted run; None if they or their texts are missing, damaged, changed or outdated."""
        try:
            known = manifest.read_manifest(self.directory)
            files = {state: canary_file(state) for state in CANARY_STATES if canary_file(state) in known.files}
            names = (CANARIES, CANARIES_MADE_BY, *files.values())
            if known.id != self.id or any(known.doubt(self.directory, name) is not None for name in names):
                return None
            if manifest.own_bytes(self.directory, CANARIES_MADE_BY) != self.canaries_key.encode():
                return None
            receipts = manifest.read_canaries(self.directory)
            if bool(receipts) != bool(files):
                return None
            return Canaries(receipts, {state: self._texts(name) for state, name in files.items()})
        except (UserError, Unfit):
            return None

    def _texts(self, name: str) -> tuple[Completion, ...]:
        lines = manifest.own_text(self.directory, name).split("\n")
        return tuple(content_of_json(line, _COMPLETION) for line in lines if line)

    def write_canaries(self, canaries: Canaries) -> None:
        """Write the canaries, and the texts that they are made of, before any cell is measured."""
        texts = {canary_file(state): compressed(_lines_of(texts)) for state, texts in canaries.texts.items()}
        receipts = _RECEIPTS.dump_json(canaries.receipts, indent=1).decode()
        self._write_noted({**texts, CANARIES_MADE_BY: self.canaries_key, CANARIES: receipts})

    def write_basis(
        self, texts: Sequence[Completion], golden: GoldenFile | None, requests: Mapping[str, bytes]
    ) -> None:
        """Write what a run is judged by: the texts behind the limits of validity, golden values, and what is asked.

        requests: the files of requests and suffixes by the names of their data sets.
        """
        values = "null" if golden is None else golden.model_dump_json(indent=1, exclude_none=True)
        contents: dict[str, str | bytes] = {GOLDEN: values + "\n"}
        contents |= {OWN_TEXTS: compressed(_lines_of(texts))} if texts else {}
        self._write_noted(contents | {requests_file(name): compressed(held) for name, held in requests.items()})

    def write_declared(self, spec: BenchmarkSpec) -> None:
        """Write the spec as its file has it, whatever the variant makes of it."""
        self._write_noted({DECLARED: spec.model_dump_json(indent=1, exclude_none=True) + "\n"})

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Write run.json, by which the run is found again."""
        self._write_noted({HEADER: json.dumps(header)})

    def manifest_sha256(self) -> str:
        """Of the manifest as it is now, for the record. Raises UserError where there is none."""
        return hashlib.sha256(manifest.own_bytes(self.directory, manifest.MANIFEST)).hexdigest()

    @contextmanager
    def candidate(self, record: RunRecord) -> Iterator[Path]:
        """A record that is not the run's yet, beside the run's files, while the context lasts."""
        path = self.directory / CANDIDATE
        write_text(path, record.model_dump_json(indent=1) + "\n")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def write_record(self, record: RunRecord) -> Path:
        """Write record.json, which ends the run."""
        path = self.directory / RECORD
        write_text(path, record.model_dump_json(indent=1) + "\n")
        return path

    def completions_path(self, cell_id: str) -> Path:
        """Where a cell's completions are."""
        return self.directory / completions_file(cell_id)

    def completions_text(self, cell_id: str) -> str:
        """A cell's completions, one JSON object a line. Raises UserError where they are missing or damaged."""
        path = self.completions_path(cell_id)
        return text_of(path, read_bytes(path))

    def checkpoints_path(self, cell_id: str) -> Path:
        """The folder of a cell's checkpoints, if its fine-tuning saves any."""
        return self.directory / "checkpoints" / cell_id

    def _cell_path(self, cell_id: str) -> Path:
        return self.directory / cell_file(cell_id)


def _lines_of(entries: Sequence[Completion | RawValues]) -> str:
    return "".join(entry.model_dump_json() + "\n" for entry in entries)


@contextmanager
def open_session(out: Path, runs: Sequence[RunName]) -> Iterator[list[Journal]]:
    """The journals of benchmarks that are run together, locked while the context lasts.

    Interrupted, the same benchmarks started again take up the very same journals, also those that
    had ended with a record: no finished cell is measured twice.
    """
    key = hashlib.sha256(json.dumps([run.key for run in runs]).encode()).hexdigest()
    note = out / NOTE.format(key[:12])
    known = json_of(note)
    with ExitStack() as stack:
        journals = [stack.enter_context(_open_journal(out, run, known.get(run.folder))) for run in runs]
        write_text(note, json.dumps({run.folder: journal.id for run, journal in zip(runs, journals, strict=True)}))
        yield journals
        note.unlink(missing_ok=True)


@contextmanager
def _open_journal(out: Path, run: RunName, known: str | None) -> Iterator[Journal]:
    """The journal `known` by its id, or the newest unfinished one with this key, or a new one; locked."""
    parent = out / run.folder
    candidates = [out / known] if isinstance(known, str) and Path(known).parent == Path(run.folder) else []
    candidates += [
        path for path in sorted(parent.glob(f"*-{run.key[:8]}"), reverse=True) if not (path / RECORD).exists()
    ]
    matching = [path for path in candidates if json_of(path / HEADER).get("key") == run.key]
    directory = matching[0] if matching else _new_directory(parent, run.key)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(directory / LOCK, wait=False))
        except IsLocked:
            raise UserError(
                f"{directory}: another process is at work on this run; wait for it or use another --out"
            ) from None
        clear_leftovers(directory, below=True)
        outdated = take_away_outdated(directory, Journal(directory).id, own_header(directory), run.header)
        keys = {cell: str(basis["key"]) for cell, basis in run.cells.items()}
        journal = Journal(directory, outdated, keys, run.canaries)
        journal.write_header(run.header)
        yield journal


def own_header(directory: Path) -> dict[str, Any]:
    """run.json as it was written; empty where the manifest does not bear it out, so that no cell counts by it."""
    try:
        changed = manifest.read_manifest(directory).doubt(directory, HEADER)
    except UserError:
        return {}
    return {} if changed else json_of(directory / HEADER)


def _new_directory(parent: Path, key: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return parent / f"{stamp}-{key[:8]}"


def json_of(path: Path) -> dict[str, Any]:
    """A small JSON object from disk; empty where the file is missing or damaged."""
    try:
        content = read_json(path)
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}


def read_record(path: Path) -> RunRecord:
    """A record from disk. Raises UserError where it is missing, cannot be read or is no record."""
    return load_json_model(path, RunRecord, "a record of this version")
