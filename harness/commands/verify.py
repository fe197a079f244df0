"""The command that reads a record a second time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from harness.commands.options import JSON
from harness.exit_codes import with_exit_codes
from harness.terminal import echo, echo_json, echo_lines

#: Differences that are told; `--json` has all.
TOLD = 40


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@JSON
@with_exit_codes
def verify(record: Path, as_json: bool) -> None:
    """Compute anew what RECORD says, from its spec and the files beside it, and tell what differs.

    Reads texts, classes, limits of validity, figures with n and intervals, claims, comparisons with golden values and
    the verdict; loads no model. Exit code 0 if all of it agrees, and 3 otherwise.
    """
    from harness.verification.reader import verify as verified

    found = verified(record)
    if as_json:
        echo_json(json.dumps(found.as_json(), indent=1))
        sys.exit(found.exit_code)
    echo(f"agrees: {', '.join(f'{count} {kind}' for kind, count in found.agrees.items()) or 'nothing'}")
    if found.unread:
        echo(f"computed a second time by nobody: {'; '.join(found.unread)}")
    echo_lines([f"differs: {difference.words}" for difference in found.differs[:TOLD]])
    if len(found.differs) > TOLD:
        echo(f"… and {len(found.differs) - TOLD} more")
    echo("the record verifies" if found.holds else "the record does NOT verify: it is INVALID")
    sys.exit(found.exit_code)
