"""A stranger's tokenizer, tried in a process of its own within limits, before this one loads it, and before each text.

Its patterns may be such that a match never ends, or ends just below the library's own limit, again and again; its
files may unpack to more memory than there is; and no signal of Python reaches a library in Rust.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.sandbox import surroundings, tokenizing_child

#: Of waiting, on a machine that does much else: the process itself counts what it computes.
SECONDS = 600.0
#: Tokenizers besides the one asked last whose processes stay.
_KEPT = 1
_NEXT = "expected a tokenizer that transformers can use: look at the patterns in tokenizer.json"
_ALONE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


def require_usable_tokenizer(folder: Path, texts: Sequence[str]) -> None:
    """Raise UserError unless the tokenizer in a folder is loaded, and tokenises texts and decodes them, within limits.

    texts: besides those that are made for it, the beginnings of what it will be asked.
    """
    with _lock:
        _close(str(folder))
        _answered(str(folder), json.dumps({"texts": list(texts), "made": True}))


def require_tokenised(folder: Path, texts: Sequence[str] = (), ids: Sequence[int] = ()) -> None:
    """Raise UserError unless the tokenizer tokenises the texts, or decodes the tokens, in that process within limits.

    What was asked lately is not asked again. All questions share one limit, which grows with them.
    """
    _once(str(folder), json.dumps({"ids": list(ids)} if ids else {"texts": list(texts)}))


@functools.lru_cache(maxsize=1 << 12)
def _once(folder: str, asked: str) -> None:
    with _lock:
        _answered(folder, asked)


def _answered(folder: str, asked: str) -> None:
    process = _process(folder)
    try:
        answer = process.ask(asked)
    except BaseException:  # a signal in the midst: the next answer would be that to this question
        _close(folder)
        raise
    if answer:
        _close(folder)
    if "unloadable" in answer:
        raise UserError(f"{folder}: cannot be loaded: {answer['unloadable']}")
    if "unfit" in answer:
        raise UserError(f"{folder}: the tokenizer cannot be used: {answer['unfit']}; {_NEXT}")


class _Process:
    """One process with the tokenizer of one folder. On Linux it ends with the thread that started it."""

    def __init__(self, folder: str) -> None:
        self.of = os.getpid()
        self._running = subprocess.Popen(
            surroundings.command(tokenizing_child.__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=surroundings.environment(**_ALONE),
            text=True,
            encoding="ascii",
        )
        self._loaded = self._line(json.dumps({"folder": folder}))

    @property
    def is_there(self) -> bool:
        """Whether it can be asked: it runs, and it is this process that started it."""
        return self.of == os.getpid() and self._running.poll() is None

    def ask(self, asked: str) -> dict[str, str]:
        """Its answer to a question; what it said of the tokenizer's files where these are no good."""
        return self._loaded or self._line(asked)

    def _line(self, asked: str) -> dict[str, str]:
        pipes: Any = self._running
        timer = threading.Timer(SECONDS, self._running.kill)
        timer.daemon = True
        timer.start()
        try:
            with suppress(BrokenPipeError):
                pipes.stdin.write(asked + "\n")
                pipes.stdin.flush()
            said = pipes.stdout.readline()
        finally:
            timer.cancel()
        return json.loads(said) if said.endswith("\n") else {"unfit": _ended(self._running.wait())}

    def close(self) -> None:
        """End it."""
        pipes: Any = self._running
        with suppress(OSError):
            self._running.kill()
        if self.of == os.getpid():
            self._running.wait()
        for pipe in (pipes.stdin, pipes.stdout):
            with suppress(OSError):
                pipe.close()


_lock = threading.Lock()
_processes: dict[str, _Process] = {}


def _process(folder: str) -> _Process:
    if folder not in _processes or not _processes[folder].is_there:
        for other in [folder, *[each for each in _processes if each != folder][:-_KEPT]]:
            _close(other)
        _processes[folder] = _Process(folder)
    return _processes[folder]


def _close(folder: str) -> None:
    """End the process of a folder, if there is one: its files may have changed."""
    process = _processes.pop(folder, None)
    if process is not None:
        process.close()
    _once.cache_clear()


def _ended(code: int) -> str:
    if -code in (getattr(signal, "SIGXCPU", None), signal.SIGKILL if os.name == "posix" else None):
        return "it takes longer than ten times what the largest do"
    if -code == getattr(signal, "SIGABRT", None):
        return (
            f"it ends the process that tries it, as for want of {tokenizing_child.MEMORY_BYTES / 1e9:.0f} GB of memory"
        )
    return f"the process that tries it ends with code {code}; what it wrote stands above"
