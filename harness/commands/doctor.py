"""`harness doctor`: what is missing on this machine, each with its fix."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.options import JSON
from harness.exit_codes import with_exit_codes
from harness.terminal import echo, echo_json

if TYPE_CHECKING:
    from harness.planning.machine import Finding


@click.command()
@click.option("--model", "model", help="A variant's name, its YAML file, or a folder with variant.yaml.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The folder that runs would be written to.",
)
@JSON
@with_exit_codes
def doctor(model: str | None, out: Path, as_json: bool) -> None:
    """Driver, CUDA, memory, disk, packages against the lock, token, access, weights, data, engine, and what is active.

    Of a folder it lists templates, tasks, adapters, programs and pickles, and what becomes of each; it runs none.

    Exit code 0 if everything is here that the variant needs (without --model: the packages), 1 otherwise. A line with
    `!` alone keeps nothing from running.
    """
    from harness.planning.readiness import findings
    from harness.spec import locations
    from harness.spec.loading import load_yaml_model
    from harness.spec.variant import ModelVariant

    if model and Path(model).is_dir() and not (Path(model) / "variant.yaml").is_file():
        found = _bare_folder(Path(model))
    else:
        place = locations.find_variant(model) if model else None
        variant = load_yaml_model(place, ModelVariant) if place else None
        found = list(findings(variant, place, out))
    if as_json:
        echo_json(json.dumps([asdict(each) | {"fails": each.fails} for each in found], indent=1))
    else:
        for each in found:
            mark = "ok" if each.good else "FAILS" if each.fails else "-" if each.good is None else "!"
            echo(f"{mark:<5} {each.subject}: {each.seen}" + (f"\n      fix: {each.fix}" if each.fix else ""))
    sys.exit(int(any(each.fails for each in found)))


def _bare_folder(folder: Path) -> list[Finding]:
    from harness.planning.contents import of_folder
    from harness.planning.machine import Finding

    fix = "write one, if benchmarks are to run on it; benchmarks/models holds examples"
    return [*of_folder(folder), Finding("variant.yaml", False, "is not in the folder", fix)]
