"""The process that renders: reads a line of JSON, writes a line of JSON, and can do next to nothing else.

It may write no file, start no process and take no more memory than MEMORY_BYTES; how long it may take, the process
that started it decides. It ends with that process. Imports Jinja and the standard library alone.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from typing import Any

from jinja2 import Template
from jinja2.exceptions import TemplateError

from harness.sandbox.environments import chat_environment, task_environment
from harness.sandbox.limits import renounce, tied_to_the_first

#: A text that is longer fits no context of any model.
MOST_CHARACTERS = 1_000_000
#: Address space: the interpreter takes a tenth of it.
MEMORY_BYTES = 1 << 30
#: What a template can end in besides what jinja2 raises: wrong types, numbers too large, a pattern that is none.
_ERRORS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    re.error,
)

_ENVIRONMENTS = {"task": task_environment(), "chat": chat_environment()}


def main() -> None:
    """Answer until the pipe is closed."""
    tied_to_the_first()
    renounce(MEMORY_BYTES)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    sys.stdout = sys.stderr  # nothing but an answer may stand in the pipe
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        number, _, asked = line.partition(" ")
        answers.write(f"{number} {json.dumps(_answer(**json.loads(asked)))}\n")
        answers.flush()


def _answer(kind: str, template: str, variables: dict[str, Any]) -> dict[str, str]:
    """{"text": ...} or {"error": why there is none}."""
    try:
        pieces, length = [], 0
        for piece in _compiled(kind, template).generate(**variables):
            pieces.append(piece)
            length += len(piece)
            if length > MOST_CHARACTERS:
                return {"error": f"its text is longer than {MOST_CHARACTERS:,} characters"}
        text = "".join(pieces)
        text.encode()  # half a character can be tokenised by nobody
        return {"text": text}
    except MemoryError:
        return {"error": f"it takes more than {MEMORY_BYTES / 1e9:.0f} GB of memory"}
    except _ERRORS as error:
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


@functools.lru_cache(maxsize=256)
def _compiled(kind: str, template: str) -> Template:
    return _ENVIRONMENTS[kind].from_string(template)


if __name__ == "__main__":
    main()
