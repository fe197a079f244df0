"""The environment of a process that a test starts."""

import os
from pathlib import Path

import harness

#: The folder in which this checkout's package lies.
ROOT = Path(harness.__file__).resolve().parents[1]


def environment(*path: Path | str, **variables: str) -> dict[str, str]:
    """This process's own with more variables; modules are found in the folders of `path`, by default this checkout."""
    return {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(map(str, path or (ROOT,)))}
