"""The one pool of processes: what its workers do when they are told to end, when they die, and when the first one does.

A worker imports this module before anything heavy, and this module imports nothing heavy.
"""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from harness.errors import MachineError, UserError
from harness.interruption import ENDING, ends_with, held
from harness.shown import only_text

#: Each process holds the libraries and a model, about 1 GB, however many cores there are.
MOST_PROCESSES = 8
#: Bytes of weights. Above this a model keeps all cores busy by itself, and more copies of it cost memory.
LARGEST_SHARED_BYTES = 100_000_000


def usable_cores() -> int:
    """Cores that this process may use; where the system does not say which (macOS), all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """Workers to which functions of modules are handed. Made by `pool`."""

    def __init__(self, executor: ProcessPoolExecutor, processes: int) -> None:
        self._executor = executor
        self._others = set(multiprocessing.active_children())
        self._workers: set[BaseProcess] = set()
        self.processes = processes

    def submit(self, work: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Hand over a call. Raises WorkerEnded where a worker has died."""
        try:
            with (
                held(),
                _signals_blocked(),
                _no_script(),
            ):  # for the processes that this may start, which inherit the mask
                future = self._executor.submit(called, work, arguments)
                self._workers |= set(multiprocessing.active_children()) - self._others
        except BrokenProcessPool:
            raise self._ended() from None
        return future

    def result(self, future: Future[Any]) -> Any:
        """What a call gave or raised. Raises WorkerEnded where a worker has died."""
        try:
            return future.result()
        except BrokenProcessPool:
            raise self._ended() from None

    def results(self, futures: Sequence[Future[Any]]) -> Iterator[tuple[Future[Any], Any]]:
        """Each call with what it gave, as they end. Raises WorkerEnded behind all that had ended before a death."""
        broken = False
        for future in as_completed(futures):
            if isinstance(future.exception(), BrokenProcessPool):
                broken = True
                continue
            yield future, self.result(future)
        if broken:
            raise self._ended()

    def kill(self) -> None:
        """End every worker at once: what it is at would be done again anyway.

        The executor's own thread is waited for, too: Python's end would wake it by a pipe that it may have closed in
        the same moment, and print an OSError behind the last word.
        """
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join(timeout=1)
        ending = threading.Thread(target=self._executor.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        ending.start()
        ending.join(timeout=1)

    def _ended(self) -> WorkerEnded:
        return WorkerEnded(exit_words([_exit_code(worker) for worker in self._workers]))


class WorkerEnded(MachineError):
    """A worker died. how: the exit code in words, in brackets behind a blank, or nothing."""

    def __init__(self, how: str) -> None:
        super().__init__(
            f"a process that measures cells ended before its work was done{how}; finished cells are on disk: start "
            "the same command again, and it goes on from there"
        )
        self.how = how


@contextmanager
def pool(processes: int, begin: str | None = None, *arguments: object) -> Iterator[Pool]:
    """Workers, ended at the latest with the context, and within a second of this process however that ends.

    begin: "module:function", called in each worker with the arguments before its first work; named, not given, so
    that a worker can be ended while it imports that module.
    """
    start_tracker()  # it would unblock signals in the midst of starting a worker
    start = (os.getpid(), begin, arguments)
    executor = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, start)
    workers = Pool(executor, processes)
    try:
        yield workers
    except BaseException:
        workers.kill()
        raise
    executor.shutdown()


def start_tracker() -> None:
    """Start Python's own process that clears up semaphores, deaf to signals to the whole group.

    To be called before libraries that start it (joblib) are imported: SIGHUP would end it before the first process.
    It clears up what a killed worker leaves, such as the lock of a progress bar, and says nothing of that: which is
    what it is for, and would stand behind the last word.
    """
    with _signals_blocked():
        sys.warnoptions.append("ignore:resource_tracker:UserWarning")  # which it gets on its command line
        try:
            resource_tracker.ensure_running()
        finally:
            sys.warnoptions.pop()


def exit_words(exit_codes: Sequence[int | None]) -> str:
    """What exit codes tell of why; the pool itself ends the others by SIGTERM when one has died."""
    ended = [code for code in exit_codes if code]
    own = [code for code in ended if code != -signal.SIGTERM] or ended
    if not own:
        return ""
    if own[0] > 0:
        return f" (exit code {own[0]}; what it wrote stands above)"
    killed = ", which is also how the system ends one for want of memory" if own[0] == -signal.SIGKILL else ""
    return f" (signal {-own[0]}, {signal.Signals(-own[0]).name}{killed})"


def _exit_code(worker: BaseProcess) -> int | None:
    """The exit code of a worker that has ended. The pool waits for it too, and who comes second sees it later."""
    deadline = time.monotonic() + 5
    while worker.exitcode is None and time.monotonic() < deadline:
        worker.join(timeout=0.1)
        time.sleep(0.01)
    return worker.exitcode


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """A signal to the whole group waits, in a worker that starts, until that can say what it does with it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_script() -> Iterator[None]:
    """A worker that starts imports nothing of `__main__`: it would run a user's script again, and start workers.

    It needs nothing there, since it is handed functions of modules alone.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


# What follows runs in the workers.


def _begin(first: int, begin: str | None, arguments: tuple[object, ...]) -> None:
    """Tie this worker to the first process, and only then import what it is for."""
    only_text()
    _end_with(first)
    for each in ENDING:
        if each != signal.SIGTERM:  # by which the pool ends its workers
            signal.signal(each, signal.SIG_IGN)  # it reaches the whole group of processes, and the first one decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    if begin is not None:
        module, _, name = begin.partition(":")
        getattr(importlib.import_module(module), name)(*arguments)


def called(work: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    """What a call gives. What it raises is told here, where its traceback is whole, if a plugin's code raised it.

    An error that the first process could not make again would end every worker; its words cross in its place.
    """
    try:
        return work(*arguments)
    except (UserError, MachineError) as error:
        if _crosses(error):
            raise
        raise (UserError if isinstance(error, UserError) else MachineError)(str(error)) from error
    except (Exception, SystemExit) as error:
        from harness import plugins
        from harness.runs.failures import machine_failure

        told = None if machine_failure(error) else plugins.blamed(error)
        if told is not None:
            raise told from None
        if not _crosses(error):
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise
    except BaseException as error:
        from harness.runs.failures import panic

        if (told := panic(error)) is not None:
            raise told from None
        raise


def _crosses(error: BaseException) -> bool:
    """Whether an error is the same in the first process. SystemExit would end that as if it had asked to end."""
    try:
        return type(copy.copy(error)) is type(error) and not isinstance(error, SystemExit)
    except Exception:  # whatever another's class does when it is copied
        return False


def _end_with(first: int) -> None:
    """End when the first process does: by the system on Linux, whatever this one is at, and by a thread elsewhere."""
    ends_with(first)
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
