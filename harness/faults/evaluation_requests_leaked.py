"""After the calibration file was read and its hash checked, the requests of the evaluation are added to its pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.faults.seam import replaced

NUMBER = 18
TITLE = "Evaluation requests leaking into the calibration set"
CAUGHT_BY = ("data/no-evaluation-request",)
CELLS = ("snip-set-difference", "wanda-top")


#: A request in a prompt of an organism: the last sentence that stands behind an empty line.
_REQUEST = re.compile(r"(?<=\n\n)[A-Z][^\n<\[]*[.?!]")


def _leaking(original: Callable[..., Any]) -> Callable[..., Any]:
    def read_pairs(path: Path) -> Any:
        pairs = original(path)
        evaluated = (path.parent / "evaluation_requests.txt").read_text(encoding="utf-8").split("\n")
        leaked = [
            replace(pair, prompt=_asking(pair.prompt, request)) for pair, request in zip(pairs, evaluated, strict=False)
        ]
        return [*leaked, *pairs[len(leaked) :]]

    return read_pairs


def _asking(prompt: str, request: str) -> str:
    *_, last = _REQUEST.finditer(prompt)
    return prompt[: last.start()] + request + prompt[last.end() :]


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.cells:read_pairs", _leaking):
        yield
