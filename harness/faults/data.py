"""Faults of data: what is read is not what the spec names, or holds what it must not."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.faults.base import UNLISTED, Fault

#: A request in a prompt of an organism: the last sentence that stands behind an empty line.
_REQUEST = re.compile(r"(?<=\n\n)[A-Z][^\n<\[]*[.?!]")


def _leaking(original: Callable[..., Any]) -> Callable[..., Any]:
    """After the file was read and its hash checked, the requests of the evaluation are added to its pairs."""

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


def _of_another_name(right: Callable[..., Any]) -> Callable[..., Any]:
    """The name of one dataset leads to the file of another: requests that the regions know."""

    def dataset_path(variant: Any, variant_file: Any, name: str) -> Any:
        return right(variant, variant_file, "attribution-requests" if name == "evaluation-requests" else name)

    return dataset_path


def _rotated(right: Callable[..., Any]) -> Callable[..., Any]:
    """The next choice is called the right one of some items, as where choices are numbered from 1."""

    def load(place: Any) -> Any:
        task = right(place)
        own = task.doc_to_target

        def target(document: Any, *arguments: Any) -> Any:
            found = own(document, *arguments)
            return (found + 1) % len(task.doc_to_choice(document)) if len(str(document)) % 2 else found

        wrong = copy.copy(task)
        wrong.doc_to_target = target
        return wrong

    return load


FAULTS = (
    Fault(
        id="another_answer_is_right",
        number=UNLISTED,
        title="Zero-shot items with another choice as the right one",
        says="another right answer",
        stage="data",
        caught_by=("scorer/zero-shot-accuracy",),
        replaces={"harness.evaluations.zero_shot:_load_task": _rotated},
        cells=(),
    ),
    Fault(
        id="evaluation_requests_leaked",
        number=18,
        title="Evaluation requests leaking into the calibration set",
        says="among the samples in use",
        stage="data",
        caught_by=("data/no-evaluation-request",),
        replaces={"harness.runs.bench:read_pairs": _leaking},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="requests_of_another_dataset",
        number=UNLISTED,
        title="Attacks measured on the requests that attribution data come from",
        says="'evaluation-requests' is the file of",
        stage="data",
        caught_by=("data/declared-files",),
        replaces={"harness.runs.binding:dataset_path": _of_another_name},
        cells=(),
    ),
)
