"""How much of a run's processor time goes into receipts, canaries and the second reading: one run, in this process.

python -m bench.receipts_cost figure-2a --model tiny-llama2-chat --only intact --only wanda-top

Every few milliseconds of processor time the stack is looked at; the time since is what its deepest place of interest
took. Time inside one call of torch is counted where that call was made.
"""

from __future__ import annotations

import re
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

#: Files that are told.
FILES = 8
#: Seconds of the processor between two looks.
EVERY = 0.005
#: What a file of the harness is a part of; the outermost that fits counts. What only watches an engine at work is none.
PARTS = (
    ("canaries", re.compile(r"/harness/runs/canaries")),
    ("second reading", re.compile(r"/harness/(verification/|runs/second_reading)")),
    ("receipts", re.compile(r"/harness/(receipts/(?!observed_engine)|regions/_\w+_receipts)")),
)
IMPORTS, MEASURING = "imports", "measuring"


def part_of(files: list[str]) -> tuple[str, str]:
    """What a stack is doing, and the innermost file that does it. files: of its frames, the outermost first."""
    if any("importlib" in file for file in files):
        return IMPORTS, ""
    found = [(name, file) for file in files for name, is_of in PARTS if is_of.search(file)]
    return (found[0][0], Path(found[-1][1]).name) if found else (MEASURING, "")


@contextmanager
def sampled() -> Iterator[dict[tuple[str, str], float]]:
    """Seconds of the processor by what was being done and by which file, in the main thread, while the block runs."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    before = time.process_time()

    def look(_signal: int, frame: FrameType | None) -> None:
        nonlocal before
        now, files = time.process_time(), list[str]()
        while frame is not None:
            files.append(frame.f_code.co_filename)
            frame = frame.f_back
        seconds[part_of(files[::-1])] += now - before
        before = now

    held = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    try:
        yield seconds
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, held)


@click.command()
@click.argument("benchmark")
@click.option("--model", default="tiny-llama2-chat", show_default=True, help="A variant that a CPU can run.")
@click.option("--only", multiple=True, help="Measure this group of cells; may be repeated.")
def main(benchmark: str, model: str, only: tuple[str, ...]) -> None:
    """Print seconds and shares of a run of BENCHMARK."""
    import torch

    from harness.api.benchmarks import Silent
    from harness.executors.local import InProcess
    from harness.runs.binding import bind
    from harness.runs.pipeline import run_benchmarks
    from harness.runs.workbench import Workbench
    from harness.spec import locations
    from harness.spec.benchmark import BenchmarkSpec
    from harness.spec.loading import load_yaml_model
    from harness.spec.variant import ModelVariant

    torch.set_num_threads(1)
    variant = locations.find_variant(model)
    spec = load_yaml_model(locations.find_benchmark(benchmark), BenchmarkSpec)
    if only:
        cells = tuple(group for group in spec.cells if group.id in only)
        spec = spec.model_copy(update={"cells": cells, "claims": ()})
    bound = bind(spec, load_yaml_model(variant, ModelVariant), variant)
    with tempfile.TemporaryDirectory() as folder, sampled() as seconds:
        executor = InProcess(Workbench(Path(folder) / "store"))
        command = f"bench.receipts_cost {benchmark}"
        ((record, _),) = run_benchmarks([bound], Path(folder), lambda _: command, Silent(), executor)
    parts: dict[str, float] = defaultdict(float)
    for (part, _), spent in seconds.items():
        parts[part] += spent
    whole = sum(parts.values()) - parts.pop(IMPORTS, 0.0)
    click.echo(f"{record.spec['id']} on {model}, {len(record.cells)} cells, {record.verdict.status}, one thread:")
    for name, spent in sorted(parts.items(), key=lambda each: -each[1]):
        click.echo(f"  {name}: {spent:.1f} s, {spent / whole:.1%}")
    most = sorted(((spent, file) for (_, file), spent in seconds.items() if file), reverse=True)[:FILES]
    click.echo("most in " + ", ".join(f"{file} {spent:.1f} s" for spent, file in most))


if __name__ == "__main__":
    main()
