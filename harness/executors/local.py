"""Executor `local`: in this process, or, for a small model on a CPU, in up to eight processes of one thread each.

On a tiny model most of the time goes into small operations that threads cannot share: two
processes of one thread each measure cells nearly twice as fast as one process of two threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from harness.models.loading import source_directory
from harness.models.tokenizers import take_as_tried, tried
from harness.runs import provenance
from harness.runs.bench import Step
from harness.runs.binding import BoundBenchmark
from harness.runs.canaries_found import Canaries
from harness.runs.execution import CellTask, Executor
from harness.runs.processes import LARGEST_SHARED_BYTES, MOST_PROCESSES, Pool, pool, usable_cores
from harness.runs.workbench import Identity, Workbench
from harness.validity.classification import Thresholds


@contextmanager
def executor(benchmarks: Sequence[BoundBenchmark], out: Path) -> Iterator[Executor]:
    """The executor that suits these benchmarks on this machine."""
    if torch.cuda.is_available() or not all(is_small(bound) for bound in benchmarks):
        yield InProcess(Workbench(out / "store"))
        return
    processes = min(usable_cores(), sum(len(bound.cells) for bound in benchmarks), MOST_PROCESSES)
    if processes < 2:
        with _one_thread():
            yield InProcess(Workbench(out / "store"))
        return
    with pool(processes, f"{__name__}:_begin", out / "store", tried()) as workers:
        yield Processes(workers)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread, as each process of a pool has: figures do not depend on how many cells are measured at once."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_small(bound: BoundBenchmark) -> bool:
    """Whether a variant's weights are so few that threads gain nothing."""
    directory = source_directory(bound.variant, bound.variant_file)
    if directory is None:
        return False
    return sum(path.stat().st_size for path in directory.glob("*.safetensors")) <= LARGEST_SHARED_BYTES


class InProcess:
    """Everything in this process, with the threads it has now. See harness.runs.execution.Executor."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self.processes = 1
        self.threads = torch.get_num_threads()

    def hardware(self) -> dict[str, Any]:
        """See harness.runs.execution.Executor."""
        return provenance.hardware(self.threads)

    def machine(self) -> dict[str, Any]:
        """See harness.runs.execution.Executor."""
        return provenance.machine(self.threads)

    def identify(self, bound: BoundBenchmark) -> Identity:
        """See harness.runs.execution.Executor."""
        return self._workbench.identify(bound)

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """See harness.runs.execution.Executor."""
        return self._workbench.calibrate(bound)

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> Canaries:
        """See harness.runs.execution.Executor."""
        return self._workbench.canaries(bound, thresholds)

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """One after the other."""
        for task in tasks:
            self._workbench.measure(task.bound, task.cell, task.thresholds, task.journal, step)
            yield task


class Processes:
    """Work spread over the processes of a pool. See harness.runs.execution.Executor."""

    def __init__(self, workers: Pool) -> None:
        self._workers = workers
        self.processes = workers.processes
        self.threads = 1

    def hardware(self) -> dict[str, Any]:
        """See harness.runs.execution.Executor."""
        return provenance.hardware(self.threads)

    def machine(self) -> dict[str, Any]:
        """See harness.runs.execution.Executor."""
        return provenance.machine(self.threads)

    def identify(self, bound: BoundBenchmark) -> Identity:
        """See harness.runs.execution.Executor."""
        return self._workers.result(self._workers.submit(_identify, bound))

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """See harness.runs.execution.Executor."""
        return self._workers.result(self._workers.submit(_calibrate, bound))

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> Canaries:
        """See harness.runs.execution.Executor."""
        return self._workers.result(self._workers.submit(_canaries, bound, thresholds))

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """As many at once as there are processes, given back as they end."""
        futures = {self._workers.submit(_measure, task): task for task in tasks}
        for done, _ in self._workers.results(list(futures)):
            step(", ".join(task.cell for future, task in futures.items() if future.running())[:80])
            yield futures[done]


# What follows runs in the processes of the pool; each has one workbench.

_workbench: Workbench | None = None


def _begin(store: Path, known: Sequence[str]) -> None:
    global _workbench
    torch.set_num_threads(1)
    take_as_tried(known)
    _workbench = Workbench(store)


def _bench() -> Workbench:
    if _workbench is None:
        raise RuntimeError("this process was not begun by the pool")
    return _workbench


def _identify(bound: BoundBenchmark) -> Identity:
    return _bench().identify(bound)


def _calibrate(bound: BoundBenchmark) -> Thresholds | None:
    return _bench().calibrate(bound)


def _canaries(bound: BoundBenchmark, thresholds: Thresholds | None) -> Canaries:
    return _bench().canaries(bound, thresholds)


def _measure(task: CellTask) -> None:
    _bench().measure(task.bound, task.cell, task.thresholds, task.journal, lambda words: None)
