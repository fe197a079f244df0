"""What safetensors raises where a file cannot be written, as the OSError that it is."""

from __future__ import annotations

import os
import re
from pathlib import Path


def os_error_of(error: BaseException, path: Path | None = None) -> OSError | None:
    """The OSError that a SafetensorError holds as words, `… (os error 28)`; None where it holds none."""
    found = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    if found is None:
        return None
    number = int(found[1])
    return OSError(number, os.strerror(number), str(path) if path else None)
