"""The commands on calibration data."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import MODEL
from harness.exit_codes import with_exit_codes
from harness.terminal import echo


@click.group()
def calibration() -> None:
    """Calibration data: what a model itself declines."""


@calibration.command("build")
@MODEL
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for the files; default: where the variant expects safety_full.csv.",
)
@click.option("--limit", type=click.IntRange(min=1), default=None, help="Prompt with the first N requests only.")
@click.option(
    "--keep-near-duplicates",
    "keep_near_duplicates",
    is_flag=True,
    help="Keep requests that are near-duplicates of evaluated ones.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="DIR",
    help="A local checkpoint in place of the variant's on the hub.",
)
@with_exit_codes
def build(model: str, out: Path | None, limit: int | None, keep_near_duplicates: bool, weights: Path | None) -> None:
    """Prompt a model with its attribution requests; its refusals become safety_full.csv and safety_short.csv."""
    from harness.reports.progress import ProgressBar
    from harness.runs.calibration_build import build_calibration
    from harness.spec import locations
    from harness.spec.loading import load_yaml_model
    from harness.spec.variant import ModelVariant

    path = locations.find_variant(model)
    variant = load_yaml_model(path, ModelVariant)
    with ProgressBar() as progress:
        folder, manifest = build_calibration(
            variant.with_weights(weights) if weights else variant,
            path,
            out,
            limit,
            keep_near_duplicates,
            progress.share,
        )
    counts = manifest["counts"]
    echo(f"{folder}: {counts['refusal']} refusals of {counts['prompted']} requests")
    echo("  " + ", ".join(f"{number} {name}" for name, number in counts.items()))
