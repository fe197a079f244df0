"""The folder of one run. A finished cell is on disk before the next begins."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from harness.errors import UserError
from harness.runs.files import write_text
from harness.spec.result import CellResult, Completion, RunRecord

RECORD = "record.json"


@dataclass(frozen=True)
class Journal:
    """runs/<variant>/<benchmark>/<time>-<key>/: header, one file a cell, completions, at last the record."""

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

    def write_completions(self, cell_id: str, completions: Sequence[Completion]) -> str:
        """Write a cell's completions, one JSON object a line. Returns the file's SHA-256."""
        text = "".join(completion.model_dump_json() + "\n" for completion in completions)
        write_text(self.completions_path(cell_id), text)
        return hashlib.sha256(text.encode()).hexdigest()

    def write_cell(self, result: CellResult) -> None:
        """Write a finished cell; its completions must be there already."""
        write_text(self._cell_path(result.id), result.model_dump_json(indent=1))

    def thresholds(self) -> dict[str, float] | None:
        """The validity thresholds of an interrupted run."""
        path = self.directory / "thresholds.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def write_thresholds(self, thresholds: dict[str, float]) -> None:
        """Keep the thresholds, so that a resumed run judges by the same ones."""
        write_text(self.directory / "thresholds.json", json.dumps(thresholds))

    def write_record(self, record: RunRecord) -> Path:
        """Write record.json, which ends the run."""
        path = self.directory / RECORD
        write_text(path, record.model_dump_json(indent=1) + "\n")
        return path

    def completions_path(self, cell_id: str) -> Path:
        """Where a cell's completions are."""
        return self.directory / "completions" / f"{cell_id}.jsonl"

    def _cell_path(self, cell_id: str) -> Path:
        return self.directory / "cells" / f"{cell_id}.json"


@contextmanager
def open_journal(out: Path, variant: str, benchmark: str, key: str) -> Iterator[Journal]:
    """The newest unfinished run with this key, or a new one; locked while the context lasts.

    key: hash of everything that decides the run's figures.
    """
    parent = out / variant / benchmark
    unfinished = [path for path in sorted(parent.glob(f"*-{key[:8]}"), reverse=True)
                  if _key_of(path) == key and not (path / RECORD).exists()]  # fmt: skip
    directory = unfinished[0] if unfinished else _new_directory(parent, key)
    write_text(directory / "run.json", json.dumps({"key": key}))
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{directory}: another process is at work on this run; wait for it or use another --out"
            ) from None
        yield Journal(directory)


def _new_directory(parent: Path, key: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return parent / f"{stamp}-{key[:8]}"


def _key_of(directory: Path) -> str | None:
    try:
        return json.loads((directory / "run.json").read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_record(path: Path) -> RunRecord:
    """A record from disk. Raises UserError where it is missing or no record."""
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is not UTF-8"
        raise UserError(f"{path}: not a record of this version: {first}") from None
