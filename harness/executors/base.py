"""Run benchmarks with an executor, and say what it means when the machine gives out."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from harness import plugins
from harness.errors import MachineError
from harness.runs.binding import BoundBenchmark
from harness.runs.execution import Progress
from harness.runs.files import storage_error
from harness.runs.pipeline import run_benchmarks
from harness.spec.result import RunRecord

_NEXT = (
    "finished cells are on disk: start the same command again on a machine with more memory, and it goes on from there"
)


def run_all(
    benchmarks: Sequence[BoundBenchmark], out: Path, command: Callable[[BoundBenchmark], str], progress: Progress,
    executor: str = "local",
) -> list[tuple[RunRecord, Path]]:  # fmt: skip
    """Run benchmarks together, with the executor of that name. Raises MachineError where memory or disk give out."""
    try:
        with plugins.load("executors", executor).executor(benchmarks, out) as chosen:
            return run_benchmarks(benchmarks, out, command, progress, chosen)
    except torch.OutOfMemoryError:
        raise MachineError(f"the accelerator is out of memory; {_NEXT}") from None
    except MemoryError:
        raise MachineError(f"the machine is out of memory; {_NEXT}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise storage_error(error, out) from None
        raise
