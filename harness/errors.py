"""Errors that end a command without a traceback, each with its exit code."""

from __future__ import annotations


class UserError(Exception):
    """The user's input is wrong: bad spec, missing file, unknown name. Exit code 2."""

    exit_code = 2


class InvalidRun(UserError):
    """Nothing that would be measured means anything: a receipt of the intact model does not hold. Exit code 3.

    by: the receipt, as `stage/name`.
    """

    exit_code = 3

    def __init__(self, by: str, words: str) -> None:
        super().__init__(words)
        self.by = by

    def __reduce__(self) -> tuple[type[InvalidRun], tuple[str, str]]:
        """As it comes back from another process."""
        return InvalidRun, (self.by, str(self))


class MachineError(Exception):
    """The machine failed, not the science: out of memory, disk full. Exit code 5."""

    exit_code = 5
