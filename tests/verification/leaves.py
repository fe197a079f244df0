"""Every leaf of a finished run, and what a careful forger would put in its place; all hashes of files fit again."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError
from harness.spec.golden import GoldenFile
from harness.spec.loading import recorded_spec
from harness.spec.measurement import Completion, RawValues
from harness.spec.result import RunRecord
from harness.verification.findings import Ledger
from harness.verification.reader import read_again
from harness.verification.recorded import Recorded, open_recorded

#: Words that stand for one another where only some are allowed.
_INSTEAD = {
    **{"stop": "length", "length": "stop", "refusal": "answer", "answer": "refusal", "degenerate": "answer"},
    **{"truncated": "refusal", "empty": "degenerate", "success": "no success", "no success": "success"},
    **{"passed": "failed", "supported": "contradicted", "underpowered": "supported", "kept": "flushed to 0"},
    **{"binomial": "measured", "hf": "vllm"},
}
Place = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A value of a document. kind: its place with numbers left out, by which leaves of one meaning are the same."""

    document: str
    place: Place
    kind: str


class Forgery:
    """A finished run whose documents can be changed one leaf at a time, and read again."""

    def __init__(self, folder: Path) -> None:
        self.run = open_recorded(folder, Ledger())
        self.documents: dict[str, Any] = {"record": json.loads((folder / "record.json").read_text())}
        parts: list[tuple[str, Mapping[str, Any]]] = [
            ("texts", self.run.texts),
            ("raw", self.run.raw),
            ("canaries", self.run.canaries),
            ("own", {"texts": self.run.own_texts or ()}),
        ]
        for name, files in parts:
            for key, lines in files.items():
                self.documents[f"{name}/{key}"] = [json.loads(line.model_dump_json()) for line in lines]
        if self.run.golden is not None:
            self.documents["golden"] = json.loads(self.run.golden.model_dump_json(exclude_none=True))

    def leaves(self) -> list[Leaf]:
        """All of them, in the order of the files."""
        return [
            Leaf(name, place, kind)
            for name, document in self.documents.items()
            for place, kind in _leaves(document, (), name.partition("/")[0])
        ]

    def believed(self, leaf: Leaf) -> str | None:
        """The words of a change of this leaf that a second reading does not notice; None where it names every one.

        Changes that no record can hold, or that change nothing once it is read, are none.
        """
        document = copy.deepcopy(self.documents[leaf.document])
        holder = document
        for key in leaf.place[:-1]:
            holder = holder[key]
        before, spelt_alike = holder[leaf.place[-1]], {"spec": self.run.record.spec}
        for after in others(before):
            holder[leaf.place[-1]] = after
            try:
                run = self._rebuilt(leaf.document, document)
            except (ValidationError, UserError):
                continue
            if dataclasses.replace(run, record=run.record.model_copy(update=spelt_alike)) == self.run:
                continue  # a default that is left out is the same spec
            ledger = Ledger()
            read_again(run, ledger)
            return None if ledger.differs else f"{leaf.document} {leaf.place}: {before!r} -> {after!r}"
        return None

    def _rebuilt(self, name: str, document: Any) -> Recorded:
        kind, _, key = name.partition("/")
        text = json.dumps(document)
        if kind == "record":
            record = RunRecord.model_validate_json(text)
            return dataclasses.replace(self.run, record=record, spec=recorded_spec(record.spec, self.run.folder))
        if kind == "golden":
            return dataclasses.replace(self.run, golden=GoldenFile.model_validate_json(text))
        model = RawValues if kind == "raw" else Completion
        lines = tuple(model.model_validate_json(json.dumps(line)) for line in document)
        if kind == "own":
            return dataclasses.replace(self.run, own_texts=lines)
        held = {**getattr(self.run, kind), key: lines}
        return dataclasses.replace(self.run, **{kind: held})


def one_of_each_kind(leaves: list[Leaf], seed: int, most: int = 1) -> list[Leaf]:
    """`most` leaves of every kind, drawn."""
    by_kind: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        by_kind.setdefault(leaf.kind, []).append(leaf)
    draw = random.Random(seed)
    return [leaf for own in by_kind.values() for leaf in draw.sample(own, min(most, len(own)))]


def _leaves(node: Any, place: Place, kind: str) -> Iterator[tuple[Place, str]]:
    if isinstance(node, dict):
        if place:
            yield place, f"{kind} {{}}"
        for key, value in node.items():
            yield from _leaves(value, (*place, key), f"{kind}.{key}")
    elif isinstance(node, list):
        if place:
            yield place, f"{kind} []"
        for number, value in enumerate(node):
            yield from _leaves(value, (*place, number), f"{kind}.{_called(value)}")
    else:
        yield place, kind


def _called(value: Any) -> str:
    """What tells one element of a list from another: receipts by their names, evaluations by their kinds."""
    if isinstance(value, dict) and "stage" in value:
        return f"<{value['stage']}/{value['name']}>"
    return f"<{value['kind']}>" if isinstance(value, dict) and "kind" in value else "*"


def others(value: Any) -> list[Any]:
    """Other values of the same type, the likeliest to be believed first."""
    if isinstance(value, dict):
        whole = list(value.items())
        return [dict(whole[:-1]), {**value, "another": 0.5}] if whole else [{"another": 0.5}]
    if isinstance(value, list):
        return [value[:-1]] if value else []
    if value is None:
        return [0.25, 3, "another"]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [value * 0.9 if value else 0.01, value * 1.1]
    return _other_words(value)


def _other_words(text: str) -> list[str]:
    if re.fullmatch(r"[0-9a-f]{8,64}", text):
        return [("1" if text[0] == "0" else "0") + text[1:]]
    found = [_INSTEAD[text]] if text in _INSTEAD else []
    if re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", text):
        return [str(int(text[:4]) - 1) + text[4:]]
    number = re.search(r"\d+", text)
    if number:
        found.append(text[: number.start()] + str(int(number[0]) + 1) + text[number.end() :])
    return [*found, f"{text} x", f"{text}x"]
