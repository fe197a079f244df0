"""The commands on a variant's data: list, fetch, supply."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from harness.commands.options import JSON, MODEL
from harness.exit_codes import with_exit_codes
from harness.terminal import console, echo, echo_json

if TYPE_CHECKING:
    from harness.fetching.fetch import DataFile
    from harness.spec.variant import ModelVariant


@click.group()
def data() -> None:
    """A variant's data: what is there, what is missing, and getting it. HARNESS_DATA names the folder."""


@data.command("list")
@MODEL
@JSON
@with_exit_codes
def list_command(model: str, as_json: bool) -> None:
    """Check every file of a variant's data. Reaches nothing outside this machine."""
    from harness.fetching.fetch import list_data

    _show(list_data(*_variant(model)), as_json)


@data.command()
@MODEL
@click.option("--only", multiple=True, metavar="NAME", help="Fetch only this data set or task; may be repeated.")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    help="A folder with files that were downloaded before: one that has a pinned hash is taken from there.",
)
@JSON
@with_exit_codes
def fetch(model: str, only: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Download what is pinned and missing, and make of it what the variant reads. What is there stays."""
    from harness.fetching.downloads import copies_in
    from harness.fetching.fetch import fetch_data
    from harness.reports.progress import ProgressBar

    with ProgressBar() as progress:
        copies = {} if folder is None else copies_in(folder)
        files = fetch_data(*_variant(model), only, progress.share, copies)
    _show(files, as_json)


@data.command()
@MODEL
@click.argument("dataset")
@click.argument("file", type=click.Path(path_type=Path))
@with_exit_codes
def supply(model: str, dataset: str, file: Path) -> None:
    """Take a copy of FILE as DATASET, one entry a line, and record its hash; nothing here generates it."""
    from harness.fetching.fetch import supply as supply_file

    _show([supply_file(*_variant(model), dataset, file)], as_json=False)


def _variant(model: str) -> tuple[ModelVariant, Path]:
    from harness.spec import locations
    from harness.spec.loading import load_yaml_model
    from harness.spec.variant import ModelVariant

    path = locations.find_variant(model)
    return load_yaml_model(path, ModelVariant), path


def _show(files: list[DataFile], as_json: bool) -> None:
    if as_json:
        echo_json(json.dumps([asdict(file) | {"state": file.state} for file in files], indent=1))
        return
    table = Table("data", "from", "state", "sha256")
    for file in files:
        table.add_row(file.name, file.origin, file.state, (file.sha256 or "-")[:12])
    console().print(table)
    for file in files:
        if file.problem:
            echo(f"{file.name}: {file.problem}")
