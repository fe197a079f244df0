"""Files of a run, and what it means where the disk takes none."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.errors import MachineError, UserError
from harness.storage import Seen, WrittenMeanwhile, whole_file, write_whole

_IN_ITS_PLACE = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY)
#: Disk, quota, or the size that a file may have.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def require_writable(out: Path) -> None:
    """Raise UserError where nothing can be written to a path, or below it; nothing is left there.

    Tried in the nearest folder that is there, since permissions do not tell it of every file system.
    """
    folder = Path(os.path.abspath(out))
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{out}: cannot be written: {folder} is no folder; expected a path below a folder")
    try:
        with TemporaryDirectory(dir=folder, prefix=".writable-"):
            pass
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written: {error.strerror} ({folder}); expected a path below a folder that takes files"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all, flushed to disk. Raises the error that `writing_error` gives."""
    write_file(path, text)


def write_new(path: Path, text: str) -> None:
    """As `write_text`, of a file that is not there. Raises UserError where another command was faster."""
    try:
        with whole_file(path, new=True) as written:
            written.write_bytes(text.encode())
    except OSError as error:
        raise folder_error(error, path) from None


def write_instead(before: Seen, text: str, mode: int | None = None) -> None:
    """As `write_text`, of a file that is still what it was. Raises UserError where another command was faster.

    mode: of the file, None for what every new one has.
    """
    try:
        with whole_file(before.path, before=before, mode=mode) as written:
            written.write_bytes(text.encode())
    except WrittenMeanwhile:
        raise UserError(
            f"{before.path}: another command has written it meanwhile; look at it, and start the same command again "
            "to write over it"
        ) from None
    except OSError as error:
        raise writing_error(error, before.path) from None


def write_file(path: Path, content: str | bytes) -> None:
    """As `write_text`, also of bytes."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise writing_error(error, path) from None


def writing_error(error: OSError, path: Path) -> MachineError | UserError:
    """What an OSError on writing into a folder of the user's means: what lies there, or the disk."""
    if error.errno in _IN_ITS_PLACE:
        return UserError(
            f"{path}: cannot be written: a folder is in the file's place, or a file in its folder's; move it away"
        )
    if error.errno == errno.ENXIO:
        return UserError(f"{path}: cannot be written: {error.strerror}; name a file")
    return storage_error(error, path)


def folder_error(error: OSError, out: Path) -> MachineError | UserError:
    """What an OSError on writing a new folder or file means: another process has written one meanwhile, or the disk."""
    if error.errno in _IN_ITS_PLACE:
        return UserError(f"{out}: exists already: another command has written it meanwhile; give another --out")
    return storage_error(error, out)


def storage_error(error: OSError, path: Path) -> MachineError:
    """What an OSError on writing means, and what to do."""
    if error.errno in FULL:
        return MachineError(
            f"{path}: there is no room for it on the disk ({error.strerror}); free some space and start the same "
            "command again: a run goes on after its last finished cell"
        )
    return MachineError(f"{path}: cannot be written: {error.strerror or error}")
