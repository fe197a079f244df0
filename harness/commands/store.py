"""The command that tells what lies in a store, and clears it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from harness.commands.options import JSON
from harness.exit_codes import with_exit_codes
from harness.terminal import console, echo, echo_json

if TYPE_CHECKING:
    from harness.runs.stored import Entry

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


class Age(click.ParamType):
    """`12h`, `30d`, `2w`."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """As a time span."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,5})([hdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no age; expected a number and h, d or w, such as 12h, 30d or 2w", param, ctx)
        return timedelta(hours=int(found[1]) * _HOURS[found[2]])


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--prune", is_flag=True, help="Remove what is stale, or with --older-than what is so old, and say what.")
@click.option("--older-than", type=Age(), metavar="AGE", help="Only what was last used longer ago: 12h, 30d, 2w.")
@JSON
@with_exit_codes
def store(folders: tuple[Path, ...], prune: bool, older_than: timedelta | None, as_json: bool) -> None:
    """List stored scores, Gram matrices, probes and unfinished runs of output FOLDERS (by default `runs`).

    `current` is read again by the code that is here, `stale` is not. `elsewhere` was made on another machine, or with
    other settings of it: --prune leaves it, unless --older-than is given. What a process uses is never removed.
    """
    from harness.runs import stored

    places = folders or (Path("runs"),)
    found = [entry for folder in places for entry in stored.entries(folder)]
    if older_than is not None:
        found = [entry for entry in found if entry.last_used < datetime.now(UTC) - older_than]
    removed: list[Entry] = []
    if prune:
        removed = stored.remove([entry for entry in found if older_than is not None or entry.state == "stale"])
        for folder in places:
            stored.remove_notes(folder)
    if as_json:
        echo_json(json.dumps([_facts(entry) | {"removed": entry in removed} for entry in found], indent=1))
    elif prune:
        _tell_removed(removed, [entry for entry in found if entry not in removed])
    else:
        _show(found)


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "kind": entry.kind,
        "variant": entry.variant,
        "what": entry.what,
        "data": entry.data,
        "size_bytes": entry.size_bytes,
        "last_used": entry.last_used.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "state": entry.state,
        "why": entry.why,
    }


def _show(found: Sequence[Entry]) -> None:
    table = Table()
    for column in ("what", "for"):
        table.add_column(column, overflow="fold")
    for column in ("size", "last used", "state"):
        table.add_column(column, no_wrap=True)
    for entry in found:
        what = f"{entry.what}, {entry.data}" if entry.data else entry.what
        words = (what, entry.variant, _size([entry]), entry.last_used.strftime("%Y-%m-%d"), entry.state)
        table.add_row(*words)
    console().print(table)
    for state, why in dict.fromkeys((entry.state, entry.why) for entry in found if entry.why):
        alike = [entry for entry in found if (entry.state, entry.why) == (state, why)]
        echo(f"{state}, {_count(alike)}: {why}")
    echo(f"in all {_count(found)}, {_size(found)}")


def _tell_removed(removed: Sequence[Entry], kept: Sequence[Entry]) -> None:
    for entry in removed:
        echo(f"removed {entry.words} ({_size([entry])})" + (f": {entry.why}" if entry.why else ""))
    echo(f"removed {_count(removed)}, {_size(removed)}; kept {_count(kept)}, {_size(kept)}")


def _count(found: Sequence[Entry]) -> str:
    return "1 entry" if len(found) == 1 else f"{len(found)} entries"


def _size(found: Sequence[Entry]) -> str:
    """In kB, MB or GB."""
    size = sum(entry.size_bytes for entry in found)
    unit, name = next((each for each in ((1e9, "GB"), (1e6, "MB")) if size >= each[0]), (1e3, "kB"))
    return f"{size / unit:.1f} {name}"
