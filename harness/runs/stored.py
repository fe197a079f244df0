"""What lies in an output folder's store, and its unfinished runs: for what, how large, and whether it is still read."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from harness.errors import UserError
from harness.models.tensor_files import tensor_metadata
from harness.reading import parsed_json
from harness.runs import computed_by, provenance
from harness.runs.computed_by import Code
from harness.runs.files import storage_error
from harness.runs.journal import LOCK, NOTE, RECORD, json_of
from harness.runs.unfinished import finished_cells, outdated
from harness.spec.manifest import HEADER
from harness.storage import IsLocked, found_below, locked

#: The folder of stored tensors, in an output folder.
STORE = "store"
#: `current`: read again by the code that is here. `stale`: not, since other code, versions or plugins made it.
#: `elsewhere`: made on another machine or with other settings of it, which may read it. `in use`: by a process now.
State = Literal["current", "stale", "elsewhere", "in use"]
Kind = Literal["scores", "Grams", "probes", "unfinished run", "unreadable"]
_KINDS: Mapping[str, Kind] = {"score": "scores", "gram": "Grams", "heads": "probes"}


@dataclass(frozen=True)
class Entry:
    """A stored file, or the folder of an unfinished run.

    variant, what, data: for which model, which method or benchmark, and what it was measured on, in words.
    why: in words, where it is not current.
    """

    path: Path
    kind: Kind
    variant: str
    what: str
    data: str
    size_bytes: int
    last_used: datetime
    state: State
    why: str | None

    @property
    def words(self) -> str:
        """`snip scores for tiny-llama2-chat on 32 samples of safety (safety-full)`."""
        variant = f" for {self.variant}" if self.variant else ""
        data = f" on {self.data}" if self.data else ""
        return f"{self.what}{variant}{data}"


def entries(out: Path) -> list[Entry]:
    """Everything stored in an output folder, the largest first. Raises UserError where there is no such folder."""
    if not out.is_dir():
        raise UserError(f"{out}: no such folder; expected the --out of harness run, by default `runs`")
    hardware = provenance.hardware(threads=1)
    files = _with_facts((out / STORE).glob("*.safetensors"))
    found = [_stored(path, facts, hardware) for path, facts in files]
    found += [_unfinished(path, hardware) for path in _unfinished_runs(out)]
    return sorted(found, key=lambda entry: (-entry.size_bytes, entry.path))


def remove(chosen: Sequence[Entry]) -> list[Entry]:
    """Remove what nobody uses at this moment, and give back what was removed. Raises MachineError."""
    return [entry for entry in chosen if _removed(entry)]


def remove_notes(out: Path) -> None:
    """Remove what interrupted sessions noted, where none of their runs is there any more. Raises MachineError."""
    for note in sorted(out.glob(NOTE.format("*"))):
        if not any((out / str(run)).is_dir() for run in json_of(note).values()):
            with _disk_errors(note):
                note.unlink(missing_ok=True)


def _removed(entry: Entry) -> bool:
    if entry.state == "in use":
        return False
    folder = entry.path.is_dir()
    lock = entry.path / LOCK if folder else entry.path.parent / "locks" / entry.path.stem
    with _disk_errors(entry.path):
        try:
            with locked(lock, wait=False):
                if not folder:
                    entry.path.unlink(missing_ok=True)
                elif not (entry.path / RECORD).exists():  # it may have ended meanwhile
                    (entry.path / HEADER).unlink(missing_ok=True)  # from here on nobody takes it up
        except IsLocked:
            return False
        if folder and (entry.path / HEADER).exists():
            return False
        if folder:
            shutil.rmtree(entry.path)
    return True


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from None


def _with_facts(paths: Iterable[Path]) -> list[tuple[Path, os.stat_result]]:
    """The files among them, sorted; a run that is under way makes files and removes them again."""
    found = []
    for path in sorted(paths):
        with contextlib.suppress(OSError):
            found.append((path, path.stat()))
    return [(path, facts) for path, facts in found if stat.S_ISREG(facts.st_mode)]


def _stored(path: Path, facts: os.stat_result, hardware: Mapping[str, Any]) -> Entry:
    try:
        metadata = tensor_metadata(path)
    except OSError:
        metadata = {}
    size, used = facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC)
    try:
        key = parsed_json(metadata.get("key", ""))
        kind = _KINDS[key["kind"]]
    except (ValueError, KeyError, TypeError):
        words = metadata.get("origin") or path.name[:12]
        damaged = "an earlier version of the harness made it" if metadata else "it is damaged"
        return Entry(path, "unreadable", "", words, "", size, used, "stale", damaged)
    what = metadata.get("measured") or str(key.get("method", kind))
    state, why = _state(key, _code_now(key), hardware)
    return Entry(path, kind, metadata.get("variant", ""), what, metadata.get("data", ""), size, used, state, why)


def _code_now(key: Mapping[str, Any]) -> Code | str:
    """The code that would compute what a key is of, or why there is none."""
    if key["kind"] == "gram":
        return computed_by.of_grams()
    if key["kind"] == "heads":
        return computed_by.of_heads()
    try:
        return computed_by.of_scores(str(key.get("method")))
    except UserError as error:
        return str(error)


def _unfinished_runs(out: Path) -> list[Path]:
    """<variant>/<benchmark>/<run> without a record."""
    folders = (header.parent for header in found_below(out, HEADER))
    return [folder for folder in folders if len(folder.relative_to(out).parts) == 3 and not (folder / RECORD).exists()]


def _unfinished(folder: Path, hardware: Mapping[str, Any]) -> Entry:
    files = [facts for _, facts in _with_facts(found_below(folder, "*"))]
    header = json_of(folder / HEADER)
    state, why = (
        ("in use", "a process is at work on it") if _in_use(folder) else _state_of_run(folder, header, hardware)
    )
    cells = len(finished_cells(folder))
    return Entry(
        path=folder,
        kind="unfinished run",
        variant=folder.parts[-3],
        what=f"unfinished run of {folder.parts[-2]}, {cells} finished cell{'' if cells == 1 else 's'}",
        data="",
        size_bytes=sum(facts.st_size for facts in files),
        last_used=datetime.fromtimestamp(max((facts.st_mtime for facts in files), default=0.0), UTC),
        state=state,
        why=why,
    )


def _in_use(folder: Path) -> bool:
    if not (folder / LOCK).is_file():
        return False
    with contextlib.suppress(OSError):  # a folder that may only be read
        try:
            with locked(folder / LOCK, wait=False):
                return False
        except IsLocked:
            return True
    return False


def _state_of_run(folder: Path, header: Mapping[str, Any], hardware: Mapping[str, Any]) -> tuple[State, str | None]:
    machine = header.get("machine")
    if not isinstance(machine, Mapping):
        return "stale", "an earlier version of the harness made it"
    if (elsewhere := _other_machine(machine, hardware)) is not None:
        return "elsewhere", elsewhere
    finished, again = finished_cells(folder), outdated(folder)
    if not again:
        return "current", None
    why = "; ".join(dict.fromkeys(again.values()))
    if len(again) == len(finished):
        return "stale", why
    return "current", f"{len(again)} of {len(finished)} cells are measured again: {why}"


def _state(made: Mapping[str, Any], now: Code | str, hardware: Mapping[str, Any]) -> tuple[State, str | None]:
    """made: `code` and `machine` of a result. now: the code that would make it, or why there is none."""
    code, machine = made.get("code"), made.get("machine")
    if not isinstance(code, Mapping) or not isinstance(machine, Mapping):
        return "stale", "an earlier version of the harness made it"
    if (elsewhere := _other_machine(machine, hardware)) is not None:
        return "elsewhere", elsewhere
    why = now if isinstance(now, str) else "; ".join(computed_by.departures(code, now))
    return ("stale", why) if why else ("current", None)


def _other_machine(machine: Mapping[str, Any], hardware: Mapping[str, Any]) -> str | None:
    """In words, what of a machine that made a result is another than here."""
    # An executor chooses the threads, for each model anew.
    other = [name for name in hardware if name != "threads" and machine.get(name) != hardware[name]]
    return f"made with another {' and '.join(other)}" if other else None
