"""How a process of the sandbox is started: as which module, and what it is told of this one's surroundings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import harness

#: All that such a process gets of the environment: no token is among them.
_KNOWN = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT")


def command(module: str) -> list[str]:
    """Python on one of the package's modules, with nothing imported from the working folder."""
    return [sys.executable, "-B", "-P", "-m", module]


def environment(**more: str) -> Mapping[str, str]:
    """The variables of such a process, `more` among them."""
    known = {name: os.environ[name] for name in _KNOWN if name in os.environ}
    package = str(Path(harness.__file__).parents[1])
    return {**known, "PYTHONPATH": os.pathsep.join(filter(None, [package, known.get("PYTHONPATH")])), **more}
