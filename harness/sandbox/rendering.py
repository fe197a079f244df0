"""Templates of a stranger, rendered in a process of their own within limits of time, memory and length.

A sandbox alone keeps a template from code, and not from `{{ 'a' * 10**10 }}`, loops in loops, or a pattern that
backtracks for days: such a process is killed, and the next template gets a new one.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from harness.errors import UserError
from harness.sandbox import child, surroundings

Kind = Literal["task", "chat"]
#: A template takes a thousandth of it; a slow machine at most a tenth.
SECONDS = 10.0
_SECONDS_TO_START = 60.0
#: The longest templates of published models have some ten thousand; Jinja compiles so many in less than a second.
_TEMPLATE_CHARACTERS = 100_000


def render(kind: Kind, template: str, variables: Mapping[str, Any]) -> str:
    """The text that a template gives. Variables are texts, numbers, booleans, None, and lists and mappings of them.

    Raises UserError where a template is wrong, may not do what it does, or takes too long, too much memory or space.
    """
    if len(template) > _TEMPLATE_CHARACTERS:
        raise UserError(f"a template has {len(template):,} characters; expected {_TEMPLATE_CHARACTERS:,} at most")
    try:
        asked = json.dumps({"kind": kind, "template": template, "variables": dict(variables)})
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"a template cannot be rendered, {_shown(template)}: {error}; expected variables that are texts, "
            "numbers, booleans, lists and mappings"
        ) from None
    try:
        answer = _answered(asked)
    except _NoAnswer as error:
        answer = {"error": str(error)}
    if "text" not in answer:
        raise UserError(f"a template cannot be rendered, {_shown(template)}: {answer.get('error')}")
    return answer["text"]


def _shown(template: str) -> str:
    return repr(template if len(template) <= 80 else template[:79] + "…")


@functools.lru_cache(maxsize=1 << 13)
def _answered(asked: str) -> dict[str, str]:
    """What the process answers; the same question is asked again in every cell."""
    with _lock:
        for _ in range(2):
            answer = _process().ask(asked)
            if answer is not None:
                return answer
    raise _NoAnswer("the process that renders it has ended twice")


class _NoAnswer(Exception):
    """None came this time: unlike an answer, it is not kept for the same question asked again."""


class _Process:
    """One process that renders. On Linux it ends with the thread that started it, and a later question finds it so."""

    def __init__(self) -> None:
        self.of = os.getpid()
        self._asked = 0
        self._running = subprocess.Popen(
            surroundings.command(child.__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=surroundings.environment(),
            text=True,
            encoding="ascii",
        )
        if self._line(_SECONDS_TO_START) != "ready\n":
            raise UserError("the process that renders templates does not start; what it wrote stands above")

    @property
    def is_there(self) -> bool:
        """Whether it can be asked: it runs, and it is this process that started it."""
        return self.of == os.getpid() and self._running.poll() is None

    def ask(self, asked: str) -> dict[str, str] | None:
        """Its answer; None where it ended otherwise than for its time, or answered another question.

        That happens after a signal between a question and its answer: so both have a number.
        """
        self._asked += 1
        try:
            self._stdin.write(f"{self._asked} {asked}\n")
            self._stdin.flush()
            line = self._line(SECONDS)
        except BrokenPipeError:
            return None
        if line is None:
            raise _NoAnswer(f"it is not done within {SECONDS:.0f} seconds")
        number, _, answer = line.partition(" ")
        if number == str(self._asked) and answer.endswith("\n"):
            return json.loads(answer)
        self._running.kill()
        self._running.wait()
        return None

    def _line(self, seconds: float) -> str | None:
        """The next line, cut off where the process ends; None if it had to be killed for want of one."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._running.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            line = self._stdout.readline(20 * child.MOST_CHARACTERS)
        except BaseException:  # a signal in the midst: the next answer would be that to another question
            self._running.kill()
            raise
        finally:
            timer.cancel()
        if not line.endswith("\n"):
            self._running.kill()
            self._running.wait()
        return None if late.is_set() and not line.endswith("\n") else line

    @property
    def _stdin(self) -> Any:
        return self._running.stdin

    @property
    def _stdout(self) -> Any:
        return self._running.stdout

    def close(self) -> None:
        """Its pipes, and with them itself."""
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):
                pipe.close()


_lock = threading.Lock()
_current: _Process | None = None


def _process() -> _Process:
    global _current
    if _current is None or not _current.is_there:
        if _current is not None and _current.of == os.getpid():
            _current.close()
        _current = _Process()
    return _current
