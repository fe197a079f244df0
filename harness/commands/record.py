"""Commands on records of finished runs."""

from __future__ import annotations

from pathlib import Path

import click

from harness.exit_codes import with_exit_codes
from harness.terminal import echo


@click.group()
def record() -> None:
    """Records of finished runs, as files that people pass on."""


@record.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the copy; not there yet.")
@with_exit_codes
def strip(record: Path, out: Path) -> None:
    """Copy the run of RECORD without a text of its model, so that it can be passed on.

    Hashes, classes, evidence and what the published scorer does with each text stay: `harness verify` reads the copy.
    Requests and suffixes that were asked stay as well. Checkpoints are left out.
    """
    from harness.runs.stripping import stripped

    path, taken = stripped(record, out)
    echo(f"{path}: {taken} texts were taken out; the requests and suffixes that were asked are still there")
