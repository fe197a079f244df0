"""The command that adds a judge to a finished record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from harness.commands.options import ALLOW_REMOTE_JUDGE
from harness.errors import UserError
from harness.exit_codes import with_exit_codes
from harness.terminal import echo

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--judge", "name", required=True, metavar="NAME", help="A judge; `harness list` has all.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the judge; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the copy; not there yet.")
@ALLOW_REMOTE_JUDGE
@with_exit_codes
def judge(record: Path, name: str, settings: tuple[str, ...], out: Path) -> None:
    """Copy the run of RECORD with one more judge, who reads the texts that are there. Nothing is measured again.

    The copy is what a run with that judge on every attack would have written, and `harness verify` reads it. A judge
    that asks what the intact model makes of known texts, such as `own`, needs a run.
    """
    from harness.runs.added_judge import with_judge

    path = with_judge(record, {"judge": name, **dict(map(_setting, settings))}, out)
    echo(f"{path}: {name} has read the texts; `harness report` and `harness explain` show what it says")


def _setting(given: str) -> tuple[str, Any]:
    """A key with its value: a number or a truth value where it reads as one, and text otherwise."""
    key, equals, value = given.partition("=")
    if not equals or not key:
        raise UserError(f"--set {given!r}: expected KEY=VALUE, such as --set threshold=0.7")
    return key, json.loads(value) if value in ("true", "false") or _NUMBER.fullmatch(value) else value
