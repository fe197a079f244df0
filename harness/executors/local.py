"""Executor `local`: in this process, or, for a small model on a CPU, in up to eight processes of one thread each.

On a tiny model most of the time goes into small operations that threads cannot share: two
processes of one thread each measure cells nearly twice as fast as one process of two threads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from harness.errors import MachineError
from harness.models.loading import source_directory
from harness.runs.binding import BoundBenchmark
from harness.runs.cells import Step
from harness.runs.execution import CellTask, Executor
from harness.runs.workbench import Identity, Workbench
from harness.spec.result import StageReceipt
from harness.validity.classification import Thresholds

#: Above this a model keeps all cores busy by itself, and more copies of it cost memory.
LARGEST_SHARED_BYTES = 100_000_000
#: Each process holds the libraries and a model, about 1 GB, however many cores there are.
MOST_PROCESSES = 8


@contextmanager
def executor(benchmarks: Sequence[BoundBenchmark], out: Path) -> Iterator[Executor]:
    """The executor that suits these benchmarks on this machine."""
    if torch.cuda.is_available() or not all(_is_small(bound) for bound in benchmarks):
        yield InProcess(Workbench(out / "store"))
        return
    processes = min(usable_cores(), sum(len(bound.cells) for bound in benchmarks), MOST_PROCESSES)
    if processes < 2:
        with _one_thread():
            yield InProcess(Workbench(out / "store"))
        return
    with _pool(processes, out / "store") as pool:
        yield Processes(pool, processes)


def usable_cores() -> int:
    """Cores that this process may use; where the system does not say which (macOS), all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread, as each process of a pool has: figures do not depend on how many cells are measured at once."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_small(bound: BoundBenchmark) -> bool:
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

    def identify(self, bound: BoundBenchmark) -> Identity:
        """See harness.runs.execution.Executor."""
        return self._workbench.identify(bound)

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """See harness.runs.execution.Executor."""
        return self._workbench.calibrate(bound)

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> tuple[StageReceipt, ...]:
        """See harness.runs.execution.Executor."""
        return self._workbench.canaries(bound, thresholds)

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """One after the other."""
        for task in tasks:
            self._workbench.measure(task.bound, task.cell, task.thresholds, task.journal, step)
            yield task


class Processes:
    """Work spread over the processes of a pool. See harness.runs.execution.Executor."""

    def __init__(self, pool: ProcessPoolExecutor, processes: int) -> None:
        self._pool = pool
        self._others = set(multiprocessing.active_children())
        self._workers: set[BaseProcess] = set()
        self.processes = processes
        self.threads = 1

    def identify(self, bound: BoundBenchmark) -> Identity:
        """See harness.runs.execution.Executor."""
        return self._result(self._submit(_identify, bound))

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """See harness.runs.execution.Executor."""
        return self._result(self._submit(_calibrate, bound))

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> tuple[StageReceipt, ...]:
        """See harness.runs.execution.Executor."""
        return self._result(self._submit(_canaries, bound, thresholds))

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """As many at once as there are processes, given back as they end."""
        futures = {self._submit(_measure, task): task for task in tasks}
        for done in as_completed(futures):
            step(", ".join(task.cell for future, task in futures.items() if future.running())[:80])
            self._result(done)
            yield futures[done]

    def _submit(self, work: Callable[..., Any], *arguments: object) -> Future[Any]:
        try:
            with _interrupts_ignored():  # by the processes that this may start, which inherit it
                future = self._pool.submit(work, *arguments)
        except BrokenProcessPool:
            raise self._ended() from None
        self._workers = self._workers or set(multiprocessing.active_children()) - self._others
        return future

    def _result(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except BrokenProcessPool:
            raise self._ended() from None

    def _ended(self) -> MachineError:
        how = _how([_exit_code(worker) for worker in self._workers])
        return MachineError(
            f"a process that measures cells ended before its work was done{how}; finished cells are on disk: start the "
            "same command again, and it goes on from there"
        )


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C reaches the whole group of processes, and the first one decides; signals are the main thread's to set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _exit_code(worker: BaseProcess) -> int | None:
    """The exit code of a worker that has ended. The pool waits for it too, and who comes second sees it later."""
    deadline = time.monotonic() + 5
    while worker.exitcode is None and time.monotonic() < deadline:
        worker.join(timeout=0.1)
        time.sleep(0.01)
    return worker.exitcode


def _how(exit_codes: Sequence[int | None]) -> str:
    """What exit codes tell of why; the pool itself ends the other processes by SIGTERM."""
    own = [code for code in exit_codes if code and code != -signal.SIGTERM]
    if not own:
        return ""
    if own[0] > 0:
        return f" (exit code {own[0]}; what it wrote stands above)"
    killed = ", which is also how the system ends one for want of memory" if own[0] == -signal.SIGKILL else ""
    return f" (signal {-own[0]}{killed})"


@contextmanager
def _pool(processes: int, store: Path) -> Iterator[ProcessPoolExecutor]:
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (store,))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()  # what it is at would be measured again anyway
        pool.shutdown()
        raise
    pool.shutdown()


# What follows runs in the processes of the pool; each has one workbench.

_workbench: Workbench | None = None


def _begin(store: Path) -> None:
    global _workbench
    threading.Thread(target=_end_with_the_first_process, daemon=True).start()
    torch.set_num_threads(1)
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


def _canaries(bound: BoundBenchmark, thresholds: Thresholds | None) -> tuple[StageReceipt, ...]:
    return _bench().canaries(bound, thresholds)


def _measure(task: CellTask) -> None:
    _bench().measure(task.bound, task.cell, task.thresholds, task.journal, lambda words: None)
