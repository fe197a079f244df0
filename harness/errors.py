"""Errors that end a command without a traceback, each with its exit code."""


class UserError(Exception):
    """The user's input is wrong: bad spec, missing file, unknown name. Exit code 2."""

    exit_code = 2


class MachineError(Exception):
    """The machine failed, not the science: out of memory, disk full. Exit code 5."""

    exit_code = 5
