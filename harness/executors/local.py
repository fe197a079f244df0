"""Executor `local`: in this process, or, for a small model on a CPU, in one process of one thread for each core.

On a tiny model most of the time goes into small operations that threads cannot share: two
processes of one thread each measure cells nearly twice as fast as one process of two threads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

import torch

from harness.errors import MachineError
from harness.models.loading import source_directory
from harness.runs.binding import BoundBenchmark
from harness.runs.cells import Step
from harness.runs.execution import CellTask, Executor
from harness.runs.workbench import Identity, Workbench
from harness.validity.classification import Thresholds

#: Above this a model keeps all cores busy by itself, and more copies of it cost memory.
LARGEST_SHARED_BYTES = 100_000_000


@contextmanager
def executor(benchmarks: Sequence[BoundBenchmark], out: Path) -> Iterator[Executor]:
    """The executor that suits these benchmarks on this machine."""
    cores = len(os.sched_getaffinity(0))
    cells = sum(len(bound.cells) for bound in benchmarks)
    processes = min(cores, cells)
    if processes < 2 or torch.cuda.is_available() or not all(_is_small(bound) for bound in benchmarks):
        yield InProcess(Workbench(out / "store"))
        return
    with _pool(processes, cores // processes, out / "store") as pool:
        yield Processes(pool, processes, cores // processes)


def _is_small(bound: BoundBenchmark) -> bool:
    directory = source_directory(bound.variant, bound.variant_file)
    if directory is None:
        return False
    return sum(path.stat().st_size for path in directory.glob("*.safetensors")) <= LARGEST_SHARED_BYTES


class InProcess:
    """Everything in this process, with all its threads. See harness.runs.execution.Executor."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self.processes = 1
        self.threads = torch.get_num_threads()

    def identify(self, bound: BoundBenchmark) -> Identity:
        """See harness.runs.execution.Executor."""
        return self._workbench.identify(bound)

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """See harness.runs.execution.Executor."""
        return self._workbench.calibrate(bound)

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """One after the other."""
        for task in tasks:
            self._workbench.measure(task.bound, task.cell, task.thresholds, task.journal, step)
            yield task


class Processes:
    """Work spread over the processes of a pool. See harness.runs.execution.Executor."""

    def __init__(self, pool: ProcessPoolExecutor, processes: int, threads: int) -> None:
        self._pool = pool
        self.processes = processes
        self.threads = threads

    def identify(self, bound: BoundBenchmark) -> Identity:
        """See harness.runs.execution.Executor."""
        return _result(self._pool.submit(_identify, bound))

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """See harness.runs.execution.Executor."""
        return _result(self._pool.submit(_calibrate, bound))

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """As many at once as there are processes, given back as they end."""
        futures = {self._pool.submit(_measure, task): task for task in tasks}
        for done in as_completed(futures):
            step(", ".join(task.cell for future, task in futures.items() if future.running())[:80])
            _result(done)
            yield futures[done]


def _result(future: Future):
    try:
        return future.result()
    except BrokenProcessPool:
        raise MachineError(
            "a process that measured cells was ended from outside, most likely for want of memory; finished cells "
            "are on disk: start the same command again, and it goes on from there"
        ) from None


@contextmanager
def _pool(processes: int, threads: int, store: Path) -> Iterator[ProcessPoolExecutor]:
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (threads, store))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()  # what it is at would be measured again anyway
        raise
    pool.shutdown()


# What follows runs in the processes of the pool; each has one workbench.

_workbench: Workbench | None = None


def _begin(threads: int, store: Path) -> None:
    global _workbench
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the first process decides
    threading.Thread(target=_end_with_the_first_process, daemon=True).start()
    torch.set_num_threads(threads)
    _workbench = Workbench(store)


def _end_with_the_first_process() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _bench() -> Workbench:
    if _workbench is None:
        raise RuntimeError("this process was not begun by the pool")
    return _workbench


def _identify(bound: BoundBenchmark) -> Identity:
    return _bench().identify(bound)


def _calibrate(bound: BoundBenchmark) -> Thresholds | None:
    return _bench().calibrate(bound)


def _measure(task: CellTask) -> None:
    _bench().measure(task.bound, task.cell, task.thresholds, task.journal, lambda words: None)
