"""Run benchmarks with an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness import plugins
from harness.runs.binding import BoundBenchmark
from harness.runs.execution import Progress
from harness.runs.pipeline import run_benchmarks
from harness.runs.token_checks import require_tokens
from harness.spec.result import RunRecord


def run_all(
    benchmarks: Sequence[BoundBenchmark],
    out: Path,
    command: Callable[[BoundBenchmark], str],
    progress: Progress,
    executor: str = "local",
) -> list[tuple[RunRecord, Path]]:
    """Run benchmarks together, with the executor of that name.

    Raises UserError if there is none, and, before any weight is loaded, for data that are too few or too many tokens.
    """
    require_tokens(benchmarks)
    with plugins.load("executors", executor).executor(benchmarks, out) as chosen:
        return run_benchmarks(benchmarks, out, command, progress, chosen, executor)
