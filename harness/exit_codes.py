"""How every command ends: what went wrong as a message and an exit code."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from harness import plugins
from harness.errors import MachineError, UserError
from harness.interruption import Interrupted, raised, words
from harness.runs.failures import machine_failure, panic
from harness.shown import in_short
from harness.storage import cleared
from harness.terminal import echo

#: sysexits.h: an internal error. Python would exit with 1, which here means that a check failed.
EX_SOFTWARE = 70
#: What a path that somebody gave is to blame for.
_OF_PATHS = (
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENXIO,
)


def with_exit_codes(command: Callable[..., None]) -> Callable[..., None]:
    """The one place through which every command fails: one message on stderr and the documented exit code.

    An error that nobody foresaw keeps its traceback, and never the exit code of a check that failed. What the code of
    an installed plugin raises is told as that plugin's.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush would fail as well
            sys.exit(128 + signal.SIGPIPE)
        except (Exception, SystemExit) as error:
            known = error if isinstance(error, UserError | MachineError) else _known(error)
            if known is None and isinstance(error, SystemExit):
                raise
            if known is None and (signum := raised()) is not None:
                raise Interrupted(signum) from None
            if known is None:
                echo(traceback.format_exc(), err=True, nl=False)
                sys.exit(EX_SOFTWARE)
            echo(f"error: {in_short(str(known))}", err=True)
            sys.exit(known.exit_code)
        except KeyboardInterrupt:
            echo(words(signal.SIGINT), err=True)
            sys.exit(128 + signal.SIGINT)
        except BaseException as error:
            if (gave_up := panic(error)) is None:
                raise
            echo(f"error: {in_short(str(gave_up))}", err=True)
            sys.exit(gave_up.exit_code)
        finally:
            with suppress(OSError):  # the terminal may be gone
                for path in cleared():
                    echo(f"cleared {path}, which a command that was killed had left", err=True)

    return wrapped


def _known(error: BaseException) -> UserError | MachineError | None:
    """The machine that gave out, the plugin that raised it, or a path that cannot be used; None for the rest."""
    if (failure := machine_failure(error) or plugins.blamed(error)) is not None:
        return failure
    if isinstance(error, OSError) and error.errno in _OF_PATHS and error.filename is not None:
        return UserError(f"{error.filename}: cannot be used: {error.strerror}")
    return None
