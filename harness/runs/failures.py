"""Which errors mean that the machine gave out, whatever the library that met them first raises."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from harness.errors import MachineError, UserError
from harness.models.write_errors import os_error_of
from harness.runs.files import FULL, storage_error

#: What no code can help: storage, memory, open files, a disk that does not answer.
_LACKING = (*FULL, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EROFS)
#: How torch says it, on the CPU and on accelerators: always by a RuntimeError or a kind of one.
_OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator: .*memory|out of memory|cannot allocate memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE
)


def machine_failure(error: BaseException) -> MachineError | None:
    """The MachineError behind an error that a library raised; None where it is no failure of the machine."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        return MachineError(
            f"out of memory: {said}; start the same command again where there is more of it: a run goes on after "
            "its last finished cell"
        )
    found = error if isinstance(error, OSError) else os_error_of(error)
    if found is None or found.errno not in _LACKING:
        return None
    return storage_error(found, Path(found.filename or "a file"))


def panic(error: BaseException) -> UserError | None:
    """The error of a file that a library in Rust gave up on; None for any other. Such an error is no Exception.

    So ends a pattern of a tokenizer that backtracks without end: Oniguruma stops each match after ten million steps.
    """
    if type(error).__name__ != "PanicException":
        return None
    said = (str(error).splitlines() or ["no reason given"])[0][:200]
    return UserError(
        f"a tokenizer or a file of tensors cannot be worked with: {said}; expected files that transformers can use: "
        "look at the patterns in tokenizer.json"
    )
