"""What of an unfinished run counts when it is taken up again, told from its folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.runs import computed_by
from harness.runs.journal import RECORD, Journal, own_header


def finished_cells(folder: Path) -> list[str]:
    """Ids of the cells of a run that are on disk, whatever made them."""
    return sorted(path.stem for path in (folder / "cells").glob("*.json"))


def outdated(folder: Path) -> dict[str, str]:
    """Those of them that the code here would make otherwise, each with the reason. Data are not looked at."""
    made = own_header(folder).get("cells")
    known = made if isinstance(made, Mapping) else {}
    reasons = {cell: _why(known.get(cell)) for cell in finished_cells(folder)}
    return {cell: why for cell, why in reasons.items() if why is not None}


def kept_cells(out: Path, variant: str, benchmark: str, cells: Sequence[str]) -> list[str]:
    """Those of these cells that the newest unfinished run has, and that the same command does not measure again."""
    runs = [
        path
        for path in sorted((out / variant / benchmark).glob("*-*"), reverse=True)
        if path.is_dir() and not (path / RECORD).exists()
    ]
    if not runs:
        return []
    journal, changed = Journal(runs[0]), outdated(runs[0])
    return [cell for cell in cells if cell not in changed and journal.finished(cell) is not None]


def _why(made: Any) -> str | None:
    """made: what a cell is kept by, see `keys.cell_basis`."""
    if not isinstance(made, Mapping):
        return "run.json is of an earlier version, or has changed: what measured it is unknown"
    try:
        now = computed_by.of_cells((str(kind), str(name)) for kind, name in made.get("plugins", []))
    except (UserError, ValueError, TypeError) as error:
        return str(error)
    return "; ".join(computed_by.departures(made.get("code"), now)) or None
