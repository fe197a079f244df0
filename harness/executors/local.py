"""Executor `local`: benchmarks one after the other, in this process."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from harness.errors import MachineError
from harness.runs.binding import BoundBenchmark
from harness.runs.cells import Progress
from harness.runs.files import storage_error
from harness.runs.pipeline import run_benchmark
from harness.spec.result import RunRecord

_NEXT = (
    "finished cells are on disk: start the same command again on a machine with more memory, and it goes on from there"
)


def run_all(
    benchmarks: Sequence[BoundBenchmark], out: Path, command: Callable[[BoundBenchmark], str], progress: Progress
) -> list[tuple[RunRecord, Path]]:
    """Run each benchmark. Raises MachineError where memory or disk give out."""
    try:
        return [run_benchmark(bound, out, command(bound), progress) for bound in benchmarks]
    except torch.OutOfMemoryError:
        raise MachineError(f"the accelerator is out of memory; {_NEXT}") from None
    except MemoryError:
        raise MachineError(f"the machine is out of memory; {_NEXT}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise storage_error(error, out) from None
        raise
