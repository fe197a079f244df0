"""What an interrupted run has on disk and other code or data would make otherwise: it is taken away and made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.runs.computed_by import departures
from harness.spec import manifest
from harness.spec.manifest import (
    CANARIES,
    CANARIES_MADE_BY,
    CANARY_STATES,
    RECORD,
    canary_file,
    cell_file,
    files_of_cell,
)


def take_away_outdated(folder: Path, run_id: str, made: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Take away cells and canaries that do not count any more. Returns the cells, each with the reason.

    made, now: the header of the run, as it was written and as it will be (`canaries`, and `cells` as
    `keys.cell_basis` gives them). To be called before the new one is written, which says of all that is on disk by
    what it was made.
    """
    known = made.get("cells", {})
    reasons = {cell: why for cell, basis in now["cells"].items() if (why := _changed(known.get(cell), basis))}
    outdated = {cell: why for cell, why in reasons.items() if os.path.lexists(folder / cell_file(cell))}
    gone = [name for cell in outdated for name in files_of_cell(cell)]
    if made.get("canaries") != now["canaries"]:
        gone += [CANARIES, CANARIES_MADE_BY, *map(canary_file, CANARY_STATES)]
    there = [name for name in gone if os.path.lexists(folder / name)]
    for cell in outdated:
        shutil.rmtree(folder / "checkpoints" / cell, ignore_errors=True)
    if there:
        (folder / RECORD).unlink(missing_ok=True)  # it tells of them
        manifest.forget(folder, run_id, there)
    return outdated


def _changed(made: Any, now: Mapping[str, Any]) -> str | None:
    """Why a cell is another one now. made, now: what a finished cell is kept by."""
    if not isinstance(made, Mapping):
        return "run.json is of an earlier version, or has changed: what measured it is unknown"
    if made.get("key") == now["key"]:
        return None
    return "; ".join(departures(made.get("code"), now["code"])) or "the data that it rests on have changed"
