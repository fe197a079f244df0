"""What a process that works on a stranger's file renounces."""

from __future__ import annotations

import os
import signal
import sys

from harness.interruption import ends_with


def tied_to_the_first() -> None:
    """Signals to the whole group are for the first process, with which this one ends."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    ends_with(os.getppid())


def renounce(memory_bytes: int) -> None:
    """No file is written and no process started from now on; memory (address space) has a limit where systems have."""
    if sys.platform != "win32":
        import resource

        limits = {"RLIMIT_FSIZE": 0, "RLIMIT_NPROC": 0, "RLIMIT_CORE": 0, "RLIMIT_AS": memory_bytes}
        for name, most in limits.items():
            limit = getattr(resource, name, None)
            if limit is not None and not (sys.platform == "darwin" and name == "RLIMIT_AS"):  # refused there
                resource.setrlimit(limit, (most, most))


def compute_at_most(seconds: float) -> None:
    """End this process when it has computed so many seconds from now, however busy the machine is."""
    if sys.platform != "win32":
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        most = int(used + seconds) + 1
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
