"""The command that saves the figure of a record."""

from __future__ import annotations

from pathlib import Path

import click

from harness.exit_codes import with_exit_codes
from harness.terminal import echo


@click.command()
@click.argument("record", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.svg",
    help="The SVG file to write.",
)
@with_exit_codes
def figure(record: Path, out: Path) -> None:
    """Save the figure that the report shows of RECORD, with the published values where there are any."""
    from harness.commands.doubted import warn_of_doubts
    from harness.errors import UserError
    from harness.reports.pages import drawing_of
    from harness.runs.files import write_instead
    from harness.runs.journal import read_record
    from harness.spec import locations
    from harness.storage import seen

    before, recorded = seen(out), read_record(record)
    warn_of_doubts(record, recorded)
    drawing, problem = drawing_of(recorded, locations.golden_paths())
    if drawing is None:
        raise UserError(f"{record.name}: {problem}")
    content = str(drawing.content)
    if not content.startswith("<svg"):
        raise UserError(f"{record.name}: its layout makes a table and no figure; `harness report` shows it")
    # White, since a picture by itself may be shown on any ground.
    write_instead(before, content.replace("<svg", '<svg style="background:white"', 1) + "\n")
    echo(f"{out}: {drawing.caption}")
