"""The folder that holds data, and lock.json in it: what every file has to hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from huggingface_hub import constants
from pydantic import Field, TypeAdapter

from harness.errors import MachineError, UserError
from harness.reading import read_text, without_waiting
from harness.spec.common import Strict
from harness.spec.json_text import Unfit, content_of_json
from harness.storage import Seen, WrittenMeanwhile, locked, scratch_folder, whole_file, write_whole

#: The variable of the environment that names another folder than the default.
VARIABLE = "HARNESS_DATA"
LOCK = "lock.json"


class LockedFile(Strict):
    """What a file held when it was written. of: the hash of the pinned file that it is made of; recipe: by which."""

    sha256: str
    size_bytes: int
    of: str | None = None
    recipe: int | None = None


class LockedTask(Strict):
    """The items of a task of lm-eval when they were fetched. sha256: over all of them, as lm-eval reads them."""

    sha256: str
    items: int
    version: str
    revision: str | None = None


class Lock(Strict):
    """lock.json: files by their place in the folder, and tasks of lm-eval by name."""

    files: dict[str, LockedFile] = Field(default_factory=dict)
    tasks: dict[str, LockedTask] = Field(default_factory=dict)


def data_folder() -> Path:
    """HARNESS_DATA, or a folder among the assets of the Hugging Face cache (HF_HOME, XDG_CACHE_HOME)."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path(constants.HF_ASSETS_CACHE) / "brittleness-harness"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as many as are there without waiting for more. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb", opener=without_waiting) as file:
        while content := file.read(1 << 20):
            digest.update(content)
    return digest.hexdigest()


def read_lock() -> Lock:
    """What is recorded; nothing where no file was ever written. Raises UserError for a damaged one."""
    path = data_folder() / LOCK
    if not os.path.lexists(path):
        return Lock()
    try:
        return content_of_json(read_text(path), TypeAdapter(Lock))
    except Unfit as error:
        raise UserError(
            f"{path}: is damaged: {error}; expected what `harness data fetch` writes: move it away and fetch again, "
            "which trusts the files without a published hash anew"
        ) from None


def checked_file(place: str, locked: LockedFile, next_step: str) -> Path:
    """The file at a place, after its bytes were compared with what they were.

    Raises UserError, in different words where it is missing, cut off or changed, each with `next_step`.
    """
    path = data_folder() / place
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is no file; {next_step}")
        size = path.stat().st_size
        found = file_sha256(path)
    except FileNotFoundError:
        raise UserError(f"{path}: is not there; {next_step}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if found == locked.sha256:
        return path
    if size < locked.size_bytes:
        raise UserError(f"{path}: is cut off: it holds {size} of {locked.size_bytes} bytes; {next_step}")
    raise UserError(f"{path}: has changed: its SHA-256 is {found}, expected {locked.sha256}; {next_step}")


def store(place: str, content: bytes, of: str | None = None, recipe: int | None = None) -> LockedFile:
    """Write a file whole or not at all, and record what it holds."""
    target = data_folder() / place
    with _lock_changing():
        with _disk_errors(target):
            write_whole(target, content)
        return _recorded(place, of, recipe)


def store_instead(before: Seen, place: str, content: bytes) -> LockedFile:
    """As `store`, of a file that is still what it was before; raises UserError where another command was faster."""
    target = data_folder() / place
    with _lock_changing():
        with _disk_errors(target):
            try:
                with whole_file(target, before=before) as written:
                    written.write_bytes(content)
            except WrittenMeanwhile:
                raise UserError(
                    f"{target}: another command has written it meanwhile; nothing was changed: look at what it holds, "
                    "and start this command again if yours is the right one"
                ) from None
        return _recorded(place)


def adopt(place: str, file: Path) -> LockedFile:
    """Move a file that was downloaded into its place, and record what it holds.

    Raises UserError where another process has recorded a file meanwhile that holds something else: of what has no
    published hash, the first download decides what it is.
    """
    target = data_folder() / place
    with _lock_changing():
        first, found = read_lock().files.get(place), file_sha256(file)
        if first is not None and first.sha256 != found:
            raise UserError(
                f"{target}: another command has downloaded it meanwhile, with SHA-256 {first.sha256}, and this one got "
                f"{found}; nothing was kept of this one: find out which of the two is right"
            )
        with _disk_errors(target), whole_file(target) as written:
            os.replace(file, written)
        return _recorded(place)


def record(place: str, of: str | None = None, recipe: int | None = None) -> LockedFile:
    """Write into lock.json what the file at a place holds now."""
    with _lock_changing():
        return _recorded(place, of, recipe)


def _recorded(place: str, of: str | None = None, recipe: int | None = None) -> LockedFile:
    path = data_folder() / place
    locked = LockedFile(sha256=file_sha256(path), size_bytes=path.stat().st_size, of=of, recipe=recipe)
    _change_lock(lambda lock: Lock(files={**lock.files, place: locked}, tasks=lock.tasks))
    return locked


def record_task(name: str, locked: LockedTask) -> None:
    """Write into lock.json what the items of a task of lm-eval are now."""
    with _lock_changing():
        _change_lock(lambda lock: Lock(files=lock.files, tasks={**lock.tasks, name: locked}))


@contextmanager
def staging_folder() -> Iterator[Path]:
    """A folder beside the files for what is not whole yet; it is deleted with all that is in it."""
    with ExitStack() as stack:
        with _disk_errors(data_folder()):
            scratch = stack.enter_context(scratch_folder(data_folder()))
        yield scratch


@contextmanager
def _lock_changing() -> Iterator[None]:
    """Within it no other process changes lock.json, or a file between its writing and what is recorded of it."""
    with ExitStack() as stack:
        with _disk_errors(data_folder() / LOCK):
            stack.enter_context(locked(data_folder() / ".guard"))
        yield


def _change_lock(change: Callable[[Lock], Lock]) -> None:
    path = data_folder() / LOCK
    with _disk_errors(path):
        write_whole(path, change(read_lock()).model_dump_json(indent=1, exclude_none=True) + "\n")


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{target}: cannot be written: {error.strerror or error}; free space, or name another folder in {VARIABLE}"
        ) from None
