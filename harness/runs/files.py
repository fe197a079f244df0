"""Files of a run: written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from harness.errors import MachineError

#: Disk, quota, or the size that a file may have.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_text(path: Path, text: str) -> None:
    """Write atomically and flush to disk. Raises MachineError where the disk is full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
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
