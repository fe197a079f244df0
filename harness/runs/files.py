"""Files of a run, and what it means where the disk takes none."""

from __future__ import annotations

import errno
from pathlib import Path

from harness.errors import MachineError
from harness.storage import write_whole

#: Disk, quota, or the size that a file may have.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all, flushed to disk. Raises MachineError where the disk is full."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise storage_error(error, path) from None


def storage_error(error: OSError, path: Path) -> MachineError:
    """What an OSError on writing means, and what to do."""
    if error.errno in FULL:
        return MachineError(
            f"{path}: there is no room for it on the disk ({error.strerror}); free some space and start the same "
            "command again: a run goes on after its last finished cell"
        )
    return MachineError(f"{path}: cannot be written: {error.strerror or error}")
