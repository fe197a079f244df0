"""Files of a run: written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from harness.errors import MachineError


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
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(
            f"{path}: the disk is full; free some space and start the same command again: it goes on "
            "after the last finished cell"
        )
    return MachineError(f"{path}: cannot be written: {error.strerror}")
