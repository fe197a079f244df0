"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP unwind it in the same way and end it in the same words.

Imports the standard library alone: it is at work before anything heavy is imported.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

#: What ends a command from outside.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: So long the clearing up may take: a signal within it is the same wish again, a later one ends the process at once.
GRACE_SECONDS = 1.0
#: A signal that somebody's code has swallowed is sent again after so long, outside of what swallowed it.
_AGAIN_AFTER_SECONDS = 0.1
#: Linux: the signal that a process gets when the thread that started it ends.
_PR_SET_PDEATHSIG = 1


class Interrupted(BaseException):
    """A signal asked the command to end. No KeyboardInterrupt, since click makes exit code 1 of that."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class _State:
    """What the handler knows: when a signal first came, which was raised, which waits, and how many ask it to wait.

    began: when a command that has a process of its own did, in seconds of the clock that files have. ended: the exit
    code of a command that is done. heard: whether the command ends by the one that was raised; last:
    what was raised.
    """

    began: float | None = None
    ended: int | None = None
    heard = False
    last: weakref.ref[Interrupted] | None = None
    first: float | None = None
    raised: int | None = None
    waiting: int | None = None
    holds = 0


def words(signum: int) -> str:
    """What is said of a command that a signal ended, and how to go on."""
    return (
        f"interrupted by {signal.Signals(signum).name}; start the same command again: a run of benchmarks goes on "
        "after its last finished cell"
    )


@contextmanager
def ends_in_words() -> Iterator[None]:
    """Within it each signal of ENDING raises Interrupted in the main thread; the process then ends with 128 + signal.

    A signal that the process was started to ignore, as under nohup, stays ignored. One that comes when all is done
    and said ends what Python still waits for, and changes nothing of how the command ended.
    """
    try:
        _State.began = time.time()
        atexit.register(_hear_no_more)  # before all others, and so called behind them
        for each in ENDING:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, _handle)
        try:
            yield
        except SystemExit as done:
            _is_done(done.code if isinstance(done.code, int) else 0 if done.code is None else 1)
            raise
        _is_done(0)
    except (Interrupted, Exception) as error:
        signum = error.signum if isinstance(error, Interrupted) else raised()
        if signum is None:
            raise
        _State.heard = True
        _say(signum)
        _end_within_grace(128 + signum)
        sys.exit(128 + signum)


def began() -> float | None:
    """When this process's command began, in seconds of the clock that files have; None in a notebook."""
    return _State.began


def _is_done(code: int) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    _State.ended = code


def _hear_no_more() -> None:
    """Python gives signals back to the system as it ends, which would kill a command that is done.

    It also takes apart all that was loaded, for seconds: what a signal ends does not wait for that.
    """
    if _State.heard and (signum := _State.raised) is not None:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(128 + signum)
    for each in ENDING:
        if signal.getsignal(each) is _handle:
            signal.signal(each, signal.SIG_IGN)


def raised() -> int | None:
    """The signal that was raised here, if one was: a library in Rust may make another exception of it."""
    return _State.raised


def _say(signum: int) -> None:
    with suppress(OSError, ValueError):  # the terminal may be gone, which is what SIGHUP tells
        print(words(signum), file=sys.stderr, flush=True)


def _end_within_grace(code: int) -> None:
    """What Python waits for at its end, such as threads that download, it does not wait for longer."""
    timer = threading.Timer(GRACE_SECONDS / 2, os._exit, [code])
    timer.daemon = True
    timer.start()


@contextmanager
def held() -> Iterator[None]:
    """A signal that comes within it is raised at its end: nothing that it begins is left half begun."""
    _State.holds += 1
    try:
        yield
    finally:
        _State.holds -= 1
        if not _State.holds and _State.waiting is not None:
            signum, _State.waiting = _State.waiting, None
            raise _interrupted(signum)


def _handle(signum: int, _frame: FrameType | None) -> None:
    if _State.ended is not None:
        os._exit(_State.ended)
    now = time.monotonic()
    if _State.first is None:
        _State.first = now
        if not _State.holds:
            raise _interrupted(signum)
        _State.waiting = signum
    elif now - _State.first > GRACE_SECONDS:
        _say(signum)
        os._exit(128 + signum)


def _interrupted(signum: int) -> Interrupted:
    _State.raised = signum
    interrupted = Interrupted(signum)
    _State.last = weakref.ref(interrupted, _lost)
    return interrupted


def _lost(_gone: weakref.ref[Interrupted]) -> None:
    """What was raised is on its way to nobody: a library's `except:` has it, or Python, in a callback. Raise it again.

    What unwinds holds it, and so does an error that was made of it.
    """
    if _State.heard or _State.ended is not None or (signum := _State.raised) is None:
        return
    _State.first = None
    again = threading.Timer(_AGAIN_AFTER_SECONDS, os.kill, [os.getpid(), signum])
    again.daemon = True
    again.start()


def ends_with(first: int) -> None:
    """End this process when the one that started it ends, whatever this one is at: by the system, on Linux."""
    if sys.platform == "linux":
        import ctypes  # here, since this module is imported before all others

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != first:  # it had ended before
            os._exit(1)
