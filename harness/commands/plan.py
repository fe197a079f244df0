"""`harness plan`: what a benchmark will take, before anything is loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from harness.commands.options import JSON, MODEL
from harness.exit_codes import with_exit_codes
from harness.terminal import echo_json, echo_lines


@click.command()
@click.argument("benchmark")
@MODEL
@click.option("--gpu", metavar="NAME", help="a100-80g, h100 or h200; default: a CPU for an organism, else a100-80g.")
@click.option(
    "--gpus",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    metavar="N",
    help="Hours by number of cards up to so many, as `--executor ray` uses them.",
)
@click.option(
    "--price",
    type=click.FloatRange(0, 10_000, min_open=True),
    default=None,
    metavar="AMOUNT",
    help="Of an hour of one card, in your currency: costs stand beside the hours.",
)
@click.option("--engine", metavar="NAME", help="Another engine than the variant's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The folder that the run would write to.",
)
@JSON
@with_exit_codes
def plan(
    benchmark: str,
    model: str,
    gpu: str | None,
    gpus: int,
    price: float | None,
    engine: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Cells, cached files, memory by phase, disk, tokens and hours of BENCHMARK. Loads no weights.

    Exit code 2 where it cannot fit, with what would.
    """
    from harness.errors import UserError
    from harness.planning.plan import make_plan
    from harness.planning.text import lines
    from harness.spec import locations
    from harness.spec.benchmark import BenchmarkSpec
    from harness.spec.loading import load_yaml_model
    from harness.spec.variant import ModelVariant

    if price is not None and not math.isfinite(price):
        raise UserError(f"--price is {price}; expected an amount for an hour of one card")
    place = locations.find_variant(model)
    spec = load_yaml_model(locations.find_benchmark(benchmark), BenchmarkSpec)
    made = make_plan(spec, load_yaml_model(place, ModelVariant), place, out, gpu and gpu.lower(), engine, gpus)
    if as_json:
        echo_json(json.dumps(made.as_json(), indent=1))
    else:
        echo_lines(lines(made, price))
    if made.unfit:
        raise UserError("it does not fit:\n" + "\n".join(made.unfit))
