"""Files and folders that are written whole or not at all, and locks between processes: the one place that does it.

What is not whole yet lies in a folder `.<random>.partial` beside its target, whose writer holds a lock in it. A killed
process leaves the folder behind without the lock; whoever writes beside it next removes it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_PATTERN = ".*.partial"
_WRITER = ".writer"
#: A folder that is younger may be one whose writer is about to take the lock.
_SETTLED_AFTER_SECONDS = 60
_cleared: list[Path] = []


class IsLocked(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock at `path` while the context lasts. It ends with its process, however that ends; the file stays.

    wait: until whoever holds it is done; otherwise raises IsLocked. Raises OSError where no file can be made there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise IsLocked(str(path)) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_file(target: Path, new: bool = False) -> Iterator[Path]:
    """A path to write to. What is there takes the target's place, flushed to disk, where the context ends well.

    Its mode is what the umask gives every new file. new: of several writers one alone comes to its end, and the
    others raise FileExistsError. Raises OSError.
    """
    with scratch_folder(target.parent) as scratch:
        probe, written = scratch / ".mode", scratch / "file"
        probe.touch()
        yield written
        written.chmod(probe.stat().st_mode)  # safetensors and others make files that their owner alone may read
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        if new:
            _place_new(written, target)
        else:
            os.replace(written, target)


def _place_new(written: Path, target: Path) -> None:
    try:
        os.link(written, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(written, target)


def write_whole(target: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, text as UTF-8. Raises OSError."""
    with whole_file(target) as written:
        written.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the target's place where the context ends well. Raises OSError.

    The target may be there, if it is an empty folder.
    """
    with scratch_folder(target.parent) as scratch:
        filled = scratch / "folder"
        filled.mkdir()
        yield filled
        if target.is_dir():
            target.rmdir()  # Windows replaces no folder, not even an empty one
        os.replace(filled, target)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder in `parent` for what is not whole yet, deleted at the end with all that is in it. Raises OSError."""
    parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(parent)
    scratch = parent / f".{secrets.token_hex(4)}.partial"
    scratch.mkdir()
    try:
        with locked(scratch / _WRITER):
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_leftovers(folder: Path, below: bool = False) -> None:
    """Remove what killed processes left in a folder; with `below`, in those within it too. `cleared` names it."""
    for path in found_below(folder, _PATTERN) if below else folder.glob(_PATTERN):
        if _is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
            _cleared.append(path)


def cleared() -> list[Path]:
    """What this process has removed of others since it was last asked."""
    found = list(dict.fromkeys(_cleared))
    _cleared.clear()
    return found


def leftovers(folder: Path) -> list[Path]:
    """What killed processes left in a folder and everywhere below, sorted."""
    return [path for path in found_below(folder, _PATTERN) if _is_abandoned(path)]


def found_below(folder: Path, pattern: str) -> list[Path]:
    """Files and folders at any depth whose name fits a pattern of the shell, sorted; links are not followed.

    Another process may write there: a folder that is gone before it is looked into held nothing, where Path.rglob
    fails. What lies in a folder `.<random>.partial` is not whole yet and is not found; the folder itself may be.
    """
    found = []
    for at, folders, files in os.walk(folder):
        found += [Path(at, name) for name in fnmatch.filter([*folders, *files], pattern)]
        folders[:] = [name for name in folders if not fnmatch.fnmatchcase(name, _PATTERN)]
    return sorted(found)


def _is_abandoned(path: Path) -> bool:
    """Whether the writer of a folder is gone."""
    with contextlib.suppress(IsLocked, OSError):  # gone meanwhile, or another user's
        if not (path / _WRITER).is_file():
            return path.is_dir() and time.time() - path.stat().st_mtime > _SETTLED_AFTER_SECONDS
        with locked(path / _WRITER, wait=False):
            return True
    return False
