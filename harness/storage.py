"""Files and folders that are written whole or not at all, and locks between processes: the one place that does it.

What is not whole yet lies in a folder `.<random>.partial` beside its target, whose writer holds a lock in it. A killed
process leaves the folder behind without the lock; whoever writes beside it next removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness import interruption

_PATTERN = ".*.partial"
_WRITER = ".writer"
#: A folder that is younger may be one whose writer is about to take the lock.
_SETTLED_AFTER_SECONDS = 5
_cleared: list[Path] = []


class IsLocked(Exception):
    """Another process holds the lock."""


class WrittenMeanwhile(FileExistsError):
    """Another process has written the file, or taken it away, since it was looked at."""


@dataclass(frozen=True)
class Seen:
    """What lay at a path when it was looked at. state: which file, when it was changed, its size; None of nothing.

    meanwhile: whether it was written while the command that looks at it already ran: it reads its libraries first.
    """

    path: Path
    state: tuple[int, int, int] | None
    meanwhile: bool = False


def seen(path: Path) -> Seen:
    """What lies at a path now, for `whole_file`. Raises OSError."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Seen(path, None)
    began = interruption.began()
    meanwhile = began is not None and status.st_mtime > began
    return Seen(path, (status.st_ino, status.st_mtime_ns, status.st_size), meanwhile)


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
def whole_file(target: Path, new: bool = False, before: Seen | None = None, mode: int | None = None) -> Iterator[Path]:
    """A path to write to. What is there takes the target's place, flushed to disk, where the context ends well.

    new: of several writers one alone comes to its end, and the others raise FileExistsError. before: what the target
    was when the command began; of several that saw the same, one alone comes to its end, and the others raise
    WrittenMeanwhile. mode: of the file from its first byte on; None is what the umask gives every new file. Raises
    OSError, ENXIO for a pipe or a device.
    """
    _refuse_no_file(target)
    with scratch_folder(target.parent) as scratch:
        probe, written = scratch / ".mode", scratch / "file"
        probe.touch()
        if mode is not None:
            written.touch(mode)
        yield written
        # safetensors and others make files that their owner alone may read:
        written.chmod(probe.stat().st_mode if mode is None else mode)
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        if before is not None:
            _place_instead(written, before)
        elif new:
            _place_new(written, target)
        else:
            os.replace(written, target)


def _refuse_no_file(target: Path) -> None:
    """A file would take the place of a pipe or a device: of /dev/stdout for every process of the machine."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        kind = target.stat().st_mode
        of_the_system = Path("/dev") in target.absolute().parents and Path("/dev/shm") not in target.absolute().parents
        if of_the_system or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise OSError(errno.ENXIO, "a pipe or a device lies there, and no file", str(target))


def _place_instead(written: Path, before: Seen) -> None:
    """The file that lies there is locked, and no other: nothing stays behind, and a killed process holds nothing."""
    target, changed = before.path, WrittenMeanwhile(errno.EEXIST, "written by another process", str(before.path))
    try:
        if before.meanwhile:
            raise changed
        if before.state is None:
            return _place_new(written, target)
        with target.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if seen(target) == before:
                return os.replace(written, target)
    except (FileExistsError, FileNotFoundError):
        raise changed from None
    raise changed


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


def clear_leftovers(folder: Path, below: bool = False) -> list[Path]:
    """Remove what killed processes left in a folder; with `below`, in those within it too. `cleared` names it.

    Returns what it was.
    """
    places = found_below(folder, _PATTERN) if below else list(folder.glob(_PATTERN))
    left = [path for path in places if _is_abandoned(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    _cleared.extend(left)
    return left


def remove_left(*paths: Path) -> None:
    """Remove files that a killed process left where they were to be. `cleared` names them."""
    for path in paths:
        path.unlink(missing_ok=True)
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
