"""The command that explains unexpected and invalid cells of a record."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.commands.options import JSON
from harness.exit_codes import with_exit_codes
from harness.terminal import echo, echo_json, echo_lines


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.argument("cell", required=False)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    default=None,
    metavar="RECORD",
    help="Compare with another record, say of the same benchmark when it passed.",
)
@JSON
@with_exit_codes
def explain(record: Path, cell: str | None, reference: Path | None, as_json: bool) -> None:
    """Say where CELL of RECORD departs from the intact model, or from a reference, and what to do.

    RECORD is a record.json or the folder that holds it, CELL a cell or a group of cells. Without CELL, every cell
    that is unexpected or invalid is explained. Reads the record and the completions beside it; loads no model.
    """
    from harness.api.benchmarks import explanations
    from harness.commands.doubted import warn_of_doubts
    from harness.explanation.read_back import check_content, check_told
    from harness.explanation.recorded import open_run
    from harness.explanation.words import heading, told

    run, other = open_run(record), open_run(reference) if reference else None
    for opened in (run, *([other] if other else [])):
        warn_of_doubts(opened.path, opened.record)
    stories = explanations(run, cell, other)
    if as_json:
        cells = [story.as_json() for story in stories]
        for each in cells:
            check_content(each, run, other)
        content = {
            "record": run.record.id,
            "verdict": run.record.verdict.model_dump(mode="json"),
            "canaries": [canary.model_dump(mode="json") for canary in run.record.canaries],
            "cells": cells,
        }
        echo_json(json.dumps(content, indent=1))
        return
    lines = {story.cell: told(story) for story in stories}
    for name, printed in lines.items():
        check_told(printed, run, name, other)
    echo_lines(heading(run))
    for printed in lines.values():
        echo_lines(["", *printed])
    if not stories:
        echo("no cell is unexpected or invalid; name one to have it told")
