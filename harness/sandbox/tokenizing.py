"""A stranger's tokenizer, tried in a process of its own within limits, before this one loads it.

Its patterns may be such that a match never ends, or ends just below the library's own limit, again and again; its
files may unpack to more memory than there is; and no signal of Python reaches a library in Rust.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.errors import UserError
from harness.sandbox import surroundings, tokenizing_child

#: Of waiting, on a machine that does much else: the process itself counts what it computes.
SECONDS = 600.0
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
    answer = _answered(json.dumps({"folder": str(folder), "texts": list(texts)}))
    if "unloadable" in answer:
        raise UserError(f"{folder}: cannot be loaded: {answer['unloadable']}")
    if "unfit" in answer:
        raise UserError(f"{folder}: the tokenizer cannot be used: {answer['unfit']}; {_NEXT}")


def _answered(asked: str) -> dict[str, str]:
    running = subprocess.Popen(
        surroundings.command(tokenizing_child.__name__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=surroundings.environment(**_ALONE),
        text=True,
        encoding="ascii",
    )
    try:
        said, _ = running.communicate(asked, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"unfit": f"it is not tried within {SECONDS:.0f} seconds"}
    finally:  # also of a signal in the midst
        with suppress(OSError):
            running.kill()
        running.wait()
    if running.returncode == 0:
        return json.loads(said)
    return {"unfit": _ended(running.returncode)}


def _ended(code: int) -> str:
    if -code in (getattr(signal, "SIGXCPU", None), signal.SIGKILL if os.name == "posix" else None):
        return "it takes longer than ten times what the largest do"
    if -code == getattr(signal, "SIGABRT", None):
        return (
            f"it ends the process that tries it, as for want of {tokenizing_child.MEMORY_BYTES / 1e9:.0f} GB of memory"
        )
    return f"the process that tries it ends with code {code}; what it wrote stands above"
