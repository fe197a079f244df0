"""The commands on a checkpoint of the user's: score, subspaces, edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.exit_codes import with_exit_codes
from harness.terminal import echo

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("--method", required=True, help="A file in harness/attribution, such as snip or wanda.")
@click.option("--data", type=click.Path(path_type=Path), help="CSV with the columns prompt and response.")
@click.option("--samples", type=click.IntRange(min=1), help="Pairs to draw; default 128, or all if there are fewer.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draw.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to write the scores.")
@with_exit_codes
def score(model_dir: Path, method: str, data: Path | None, samples: int | None, seed: int, out: Path) -> None:
    """Importance scores of a checkpoint's linear layers, as safetensors."""
    from harness.api import models

    found = models.score(model_dir, method, data, samples=samples, seed=seed, out=out)
    echo(f"{out}: {method} scores from {found.samples} samples")


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("--data", type=FILE, required=True, help="CSV with the columns prompt and response.")
@click.option("--samples", type=click.IntRange(min=1), help="Pairs to draw; default 128, or all if there are fewer.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draw.")
@click.option("--out", type=FILE, required=True, help="Where to write the Gram matrices.")
@with_exit_codes
def subspaces(model_dir: Path, data: Path, samples: int | None, seed: int, out: Path) -> None:
    """Gram matrices of the inputs of a checkpoint's linear layers, as safetensors: what ranks are found from."""
    from harness.api import models

    found = models.subspaces(model_dir, data, samples=samples, seed=seed, out=out)
    echo(f"{out}: Gram matrices from {found.samples} samples")


@click.command()
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option(
    "--select",
    "selection",
    required=True,
    help="A kind of region: top, bottom, set-difference, act-svd, orthogonal-projection, or one that is installed.",
)
@click.option("--scores", type=FILE, help="Scores, for top and bottom.")
@click.option("--fraction", type=float, help="Share of the weights, for top and bottom.")
@click.option("--safety", type=FILE, help="Scores (set-difference) or Grams (orthogonal-projection) on safety data.")
@click.option("--utility", type=FILE, help="Scores (set-difference) or Grams (orthogonal-projection) on utility data.")
@click.option("-p", "p", type=float, help="Share of utility weights that are spared, for set-difference.")
@click.option("-q", "q", type=float, help="Share of safety weights that are removed unless spared.")
@click.option(
    "--group",
    type=click.Choice(["row", "matrix"]),
    help="Weights compete within their row (paper; the default) or the matrix (published code).",
)
@click.option("--gram", type=FILE, help="Grams, for act-svd.")
@click.option("--rank", type=int, help="Number of directions to remove, for act-svd.")
@click.option("--end", type=click.Choice(["top", "bottom"]), help="Which directions, for act-svd; default top.")
@click.option("--utility-rank-removed", type=int, help="r_u, for orthogonal-projection.")
@click.option("--safety-rank-removed", type=int, help="r_s, for orthogonal-projection.")
@click.option(
    "--of-directions",
    type=click.IntRange(min=1),
    help="R that the ranks are written for; layers with fewer directions (k and v with grouped queries) get "
    "as large a share of theirs.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the edited checkpoint.")
@with_exit_codes
def edit(model_dir: Path, selection: str, out: Path, **given: Any) -> None:
    """Write a copy of a checkpoint without the selected weights or ranks, with receipt.json."""
    from harness.runs.checkpoint_edits import edit_checkpoint, region_of_options, what_was_removed

    region, settings, files = region_of_options(selection, given)
    receipt = edit_checkpoint(model_dir, region, settings, files, out)
    echo(f"{out}: {what_was_removed(receipt)}")
