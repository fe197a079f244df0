"""What commands that only tell of records say where the files beside them are not those of the run."""

from __future__ import annotations

import os
from pathlib import Path

from harness.spec.manifest import MANIFEST, doubts, shown
from harness.spec.result import RunRecord
from harness.terminal import echo


def warn_of_doubts(path: Path, record: RunRecord) -> None:
    """One warning on stderr. A record alone, without its run's folder, is told as it is."""
    if os.path.lexists(path.parent / MANIFEST) and (found := doubts(path.parent, record)):
        echo(f"warning: {path}: {shown(found)}; nothing bears out what follows", err=True)
