"""The folder of one run. A finished cell is on disk before the next begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import UserError
from harness.runs.files import write_text
from harness.spec.measurement import Completion
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult, RunRecord
from harness.storage import IsLocked, clear_leftovers, locked

RECORD = "record.json"
CANARIES = "canaries.json"
LOCK = "lock"
#: What tells one run from another, in its folder.
HEADER = "run.json"
#: Which runs an interrupted session would take up, in the output folder.
NOTE = "unfinished-{}.json"
_RECEIPTS = TypeAdapter(tuple[StageReceipt, ...])


@dataclass(frozen=True)
class RunName:
    """What tells one run from another. key: hash of everything that decides its figures.

    rests_on: code, plugins and machine behind it, for whoever looks whether it would be taken up.
    """

    variant: str
    benchmark: str
    key: str
    rests_on: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where the runs of the benchmark on the variant are, below the output folder."""
        return f"{self.variant}/{self.benchmark}"


@dataclass(frozen=True)
class Journal:
    """runs/<variant>/<benchmark>/<time>-<key>/: header, canaries, one file a cell, completions, the record."""

    directory: Path

    @property
    def id(self) -> str:
        """`<variant>/<benchmark>/<time>-<key>`, which names the run wherever its folder lies."""
        return "/".join(self.directory.parts[-3:])

    def finished(self, cell_id: str) -> CellResult | None:
        """The result of a cell that an interrupted run has finished; None if it is missing or damaged."""
        path = self._cell_path(cell_id)
        try:
            result = CellResult.model_validate_json(path.read_text(encoding="utf-8"))
            content = self.completions_path(cell_id).read_bytes()
        except (FileNotFoundError, ValidationError, UnicodeDecodeError):
            return None
        return result if hashlib.sha256(content).hexdigest() == result.completions_sha256 else None

    def write_cell(self, result: CellResult, completions: Sequence[Completion]) -> None:
        """Write a finished cell: its completions, one JSON object a line, and then the result with their hash."""
        self._write(result, "".join(completion.model_dump_json() + "\n" for completion in completions))

    def adopt(self, result: CellResult, owner: Journal, owner_cell: str) -> None:
        """Write a cell that another benchmark of this run has measured, under this benchmark's names."""
        text = owner.completions_path(owner_cell).read_text(encoding="utf-8")
        self._write(result.model_copy(update={"measured_in": f"{owner.id}#{owner_cell}"}), text)

    def _write(self, result: CellResult, completions: str) -> None:
        write_text(self.completions_path(result.id), completions)
        sha256 = hashlib.sha256(completions.encode()).hexdigest()
        figures = tuple(measured.as_json_can_hold() for measured in result.measurements)
        whole = result.model_copy(update={"completions_sha256": sha256, "measurements": figures})
        write_text(self._cell_path(result.id), whole.model_dump_json(indent=1))

    def canaries(self) -> tuple[StageReceipt, ...] | None:
        """The canaries of an interrupted run; None if they are missing or damaged."""
        try:
            return _RECEIPTS.validate_json((self.directory / CANARIES).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write_canaries(self, canaries: Sequence[StageReceipt]) -> None:
        """Write the canaries, before any cell is measured."""
        write_text(self.directory / CANARIES, _RECEIPTS.dump_json(tuple(canaries), indent=1).decode())

    def write_record(self, record: RunRecord) -> Path:
        """Write record.json, which ends the run."""
        path = self.directory / RECORD
        write_text(path, record.model_dump_json(indent=1) + "\n")
        return path

    def completions_path(self, cell_id: str) -> Path:
        """Where a cell's completions are."""
        return self.directory / "completions" / f"{cell_id}.jsonl"

    def checkpoints_path(self, cell_id: str) -> Path:
        """The folder of a cell's checkpoints, if its fine-tuning saves any."""
        return self.directory / "checkpoints" / cell_id

    def _cell_path(self, cell_id: str) -> Path:
        return self.directory / "cells" / f"{cell_id}.json"


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
    candidates = [out / known] if known else []
    candidates += [
        path for path in sorted(parent.glob(f"*-{run.key[:8]}"), reverse=True) if not (path / RECORD).exists()
    ]
    matching = [path for path in candidates if json_of(path / HEADER).get("key") == run.key]
    directory = matching[0] if matching else _new_directory(parent, run.key)
    write_text(directory / HEADER, json.dumps({"key": run.key, **run.rests_on}))
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(directory / LOCK, wait=False))
        except IsLocked:
            raise UserError(
                f"{directory}: another process is at work on this run; wait for it or use another --out"
            ) from None
        clear_leftovers(directory, below=True)
        yield Journal(directory)


def _new_directory(parent: Path, key: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return parent / f"{stamp}-{key[:8]}"


def json_of(path: Path) -> dict[str, Any]:
    """A small JSON object from disk; empty where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_record(path: Path) -> RunRecord:
    """A record from disk. Raises UserError where it is missing, cannot be read or is no record."""
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; expected a record.json") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = _first_problem(error) if isinstance(error, ValidationError) else "it is not UTF-8"
        raise UserError(f"{path}: not a record of this version: {first}") from None


def _first_problem(error: ValidationError) -> str:
    """`cells.0.id: ...`: the key in the record, where the problem lies in one, and the problem."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    return f"{key}: {first['msg']}" if key else first["msg"]
