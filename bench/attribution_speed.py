"""`nox -s bench`: the harness against the published algorithms, alternating, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from bench import results_file
from bench.contests import Contest, contests
from bench.random_llamas import Sizes, random_llama, random_samples
from bench.results_file import COLUMNS, Timing
from harness.calibration.stream import BATCH_TOKENS

PROGRESS = Console(stderr=True)


@click.command()
@click.option("--blocks", multiple=True, type=click.IntRange(min=1), default=(8, 16, 32), show_default=True)
@click.option("--samples", type=click.IntRange(min=1), default=Sizes.samples, show_default=True)
@click.option("--repetitions", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Result file; named after the machine.")
@click.option("--document", is_flag=True, help="Put the figures into docs/results/speed.md.")
def main(blocks: tuple[int, ...], samples: int, repetitions: int, out: Path | None, document: bool) -> None:
    """Time all methods on random Llamas, check that results agree, print ratios and write a result file."""
    sizes = Sizes(samples=samples)
    machine = results_file.machine()
    timings = [timing for depth in blocks for timing in timings_of(depth, sizes, repetitions)]
    path = out or results_file.default_path(machine, sizes.as_dict(), blocks)
    results_file.write(path, machine, sizes.as_dict(), timings)
    Console().print(_table(timings, sizes))
    click.echo(path, err=True)
    if document:
        results_file.update_document(path)


def timings_of(blocks: int, sizes: Sizes, repetitions: int) -> list[Timing]:
    """Timings of every method on a random Llama, each only once its results have been found to agree."""
    model = random_llama(blocks, sizes)
    safety, utility = (random_samples(sizes, seed) for seed in (1, 2))
    timings = []
    for contest in contests(model, safety, utility):
        timings.append(_timing(blocks, contest, repetitions))
        PROGRESS.print(" | ".join(timings[-1].cells()))
    return timings


def _timing(blocks: int, contest: Contest, repetitions: int) -> Timing:
    """All four sides in turn, as often as asked. The check runs in the first round, outside of the clock.

    A batched pass goes before the first round, so that none pays for what torch sets up once.
    """
    contest.plain_pass(BATCH_TOKENS)
    seconds: list[list[float]] = []
    for repetition in range(repetitions):
        (plain, _), (one_by_one, _), (harness, ours), (published, theirs) = (
            _timed(side)
            for side in (
                lambda: contest.plain_pass(BATCH_TOKENS),
                lambda: contest.plain_pass(1),
                contest.ours,
                contest.theirs,
            )
        )
        if repetition == 0:
            contest.check(ours, theirs)
        seconds.append([plain, one_by_one, harness, published])
    return Timing(blocks, contest.method, *(list(side) for side in zip(*seconds, strict=True)))


def _timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = run()
    return round(time.perf_counter() - start, 4), result


def _table(timings: list[Timing], sizes: Sizes) -> Table:
    title = f"hidden size {sizes.hidden_size}, {sizes.samples} samples of either set, float32; median seconds"
    table = Table(*COLUMNS, title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].no_wrap = True
    for timing in timings:
        table.add_row(*timing.cells())
    return table


if __name__ == "__main__":
    main()
