"""The command that compares two records token by token."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from harness.commands.options import JSON
from harness.exit_codes import with_exit_codes
from harness.terminal import console, echo, echo_json

if TYPE_CHECKING:
    from harness.explanation.comparison import CellComparison, Side

#: Divergences that are told of one cell; `--json` has all.
TOLD = 3


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@JSON
@with_exit_codes
def compare(record: Path, other: Path, as_json: bool) -> None:
    """Compare the texts of RECORD and OTHER, one spec and one model on two engines, token by token.

    Where a greedy text first differs, both engines' log-probabilities of both tokens are shown. Exit code 0 if every
    such place is a near tie, which rounding decides, and 1 otherwise. Reads the completions beside the records; loads
    no model.
    """
    from harness.commands.doubted import warn_of_doubts
    from harness.explanation.comparison import compare as compared
    from harness.explanation.recorded import open_run

    runs = open_run(record), open_run(other)
    for run in runs:
        warn_of_doubts(run.path, run.record)
    cells = compared(*runs)
    engines = [
        str(run.record.provenance.engine or run.record.variant.get("engine", "no engine recorded")) for run in runs
    ]
    if as_json:
        echo_json(
            json.dumps(
                {
                    "records": [run.record.id for run in runs],
                    "engines": engines,
                    "cells": [cell.as_json() for cell in cells],
                },
                indent=1,
            )
        )
    else:
        _tell(cells, engines)
    sys.exit(0 if all(cell.explained for cell in cells) else 1)


def _tell(cells: list[CellComparison], engines: list[str]) -> None:
    echo(" beside ".join(engines))
    table = Table(
        "cell", "greedy texts alike", "at near ties", "elsewhere", "sampled texts alike", "other class", "other figures"
    )
    for cell in cells:
        near = sum(each.near_tie for each in cell.divergences)
        table.add_row(
            cell.cell,
            _share(cell.greedy),
            str(near),
            str(len(cell.divergences) - near),
            _share(cell.sampled),
            str(cell.other_classes),
            str(len(cell.figures)),
            style=None if cell.explained else "red",
        )
    console().print(table)
    for cell in cells:
        if cell.not_compared:
            echo(f"{cell.cell}: not compared: {cell.not_compared}")
        for each in cell.divergences[:TOLD]:
            suffix = "" if each.suffix_index is None else f", suffix {each.suffix_index}"
            echo(
                f"{cell.cell}: {each.evaluation}, prompt {each.prompt_index}{suffix}, token {each.position}: "
                f"{_side(each.first)} beside {_side(each.second)}"
                f"{': a near tie' if each.near_tie else ''}"
            )
        for metric, first, second in cell.figures:
            echo(f"{cell.cell}: {metric}: {first} beside {second}")
    texts, alike = (sum(cell.greedy[place] for cell in cells) for place in (0, 1))
    echo(f"{alike} of {texts} greedy texts have the same tokens")


def _share(counts: tuple[int, int]) -> str:
    return f"{counts[1]} of {counts[0]}" if counts[0] else "-"


def _side(side: Side) -> str:
    known = ["?" if value is None else f"{value:.6f}" for value in (side.log_probability, side.of_other)]
    return f"{side.token} ({known[0]} nats, the other {known[1]})"
