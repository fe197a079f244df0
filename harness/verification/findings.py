"""What agrees between a record and a second reading of it, and what differs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.spec.manifest import (
    CANARY_STATES,
    GOLDEN,
    MANIFEST,
    OWN_TEXTS,
    RECORD,
    canary_file,
    completions_file,
    raw_file,
)
from harness.spec.result import EXIT_CODES

#: What two ways to sum the same numbers may differ by, of the larger one or of 1.
ROUNDING = 1e-12
#: Kinds of what stands in a cell's texts, and of what stands in its raw values; the record holds all others.
_OF_TEXTS = frozenset(
    {
        "text",
        "own text",
        "tokens",
        "choices",
        "end of text",
        "decoded text",
        "prompt",
        "system prompt",
        "seed",
        "evidence",
        "class",
        "label",
    }
)
_OF_RAW = frozenset({"raw", "item"})


@dataclass(frozen=True)
class Difference:
    """One thing that is another in the record than on a second reading.

    kind: what it is, such as `figure`. cell: where, or the part of the record. name: of the metric, text or field.
    note: how it may have come about.
    """

    kind: str
    cell: str
    name: str
    recorded: Any
    recomputed: Any
    note: str = ""

    @property
    def file(self) -> str:
        """The file that holds what is recorded, beside the record or the record itself."""
        if self.kind == "file":
            return MANIFEST if self.name == "manifest" else self.name
        if self.kind == "golden":
            return GOLDEN
        if self.kind == "own text" or self.cell == OWN_TEXTS:
            return OWN_TEXTS
        if self.cell in map(canary_file, CANARY_STATES):
            return self.cell
        if self.kind in _OF_TEXTS:
            return completions_file(self.cell)
        return raw_file(self.cell) if self.kind in _OF_RAW else RECORD

    @property
    def gap(self) -> float | None:
        """recorded - recomputed, of numbers."""
        numbers = [each for each in (self.recorded, self.recomputed) if _is_number(each)]
        return numbers[0] - numbers[1] if len(numbers) == 2 else None

    @property
    def words(self) -> str:
        """One line for people."""
        gap = "" if self.gap is None else f" (difference {self.gap:.3g})"
        return (
            f"{self.file}: {self.kind} {self.name} of {self.cell}: recorded {_shown(self.recorded)}, "
            f"recomputed {_shown(self.recomputed)}{gap}{self.note and f'; {self.note}'}"
        )

    def as_json(self) -> dict[str, Any]:
        """All fields, and the difference of numbers."""
        return {
            "file": self.file,
            "kind": self.kind,
            "cell": self.cell,
            "name": self.name,
            "recorded": self.recorded,
            "recomputed": self.recomputed,
            "difference": self.gap,
            "note": self.note,
        }


@dataclass(frozen=True)
class Verification:
    """What a second reading came to. agrees: how many things, by kind. unread: what it cannot compute, in words."""

    record: str
    agrees: Mapping[str, int]
    differs: tuple[Difference, ...]
    unread: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.differs

    @property
    def exit_code(self) -> int:
        """0, or 3 of a record that is INVALID."""
        return EXIT_CODES["passed" if self.holds else "invalid"]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "record": self.record,
            "holds": self.holds,
            "agrees": dict(self.agrees),
            "differs": [each.as_json() for each in self.differs],
            "unread": list(self.unread),
        }


@dataclass
class Ledger:
    """Where each comparison is written down."""

    agrees: Counter[str] = field(default_factory=Counter)
    differs: list[Difference] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def same(self, kind: str, cell: str, name: str, recorded: Any, recomputed: Any, note: str = "") -> bool:
        """Compare one thing with what it should be: numbers within rounding, everything else exactly.

        note: how a difference may have come about.
        """
        alike = _alike(recorded, recomputed)
        if alike:
            self.agrees[kind] += 1
        else:
            self.differs.append(Difference(kind, cell, name, recorded, recomputed, note))
        return alike

    def each_once(self, kind: str, cell: str, found: Iterable[Any], wanted: Iterable[Any]) -> None:
        """Compare two collections in which everything is to be there once, whatever the order."""
        counts, expected = Counter(iter(found)), Counter(iter(wanted))  # a mapping would be taken for counts
        for entry in dict.fromkeys([*expected, *counts]):
            times = f"{counts[entry]} times" if counts[entry] else "missing"
            wanted_times = f"{expected[entry]} times" if expected[entry] else "none"
            if counts[entry] == expected[entry]:
                self.agrees[kind] += 1
            else:
                self.differs.append(Difference(kind, cell, _name(entry), times, wanted_times))

    def wrong(self, kind: str, cell: str, name: str, recorded: Any, wanted: Any) -> None:
        """Note a difference that was found by other means."""
        self.differs.append(Difference(kind, cell, name, recorded, wanted))


def _name(entry: Any) -> str:
    return " ".join(str(part) for part in entry if part not in (None, "")) if isinstance(entry, tuple) else str(entry)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) or (isinstance(other, float) and _is_number(one)):
        if not _is_number(other):
            return False
        if not (math.isfinite(one) and math.isfinite(other)):
            return False
        return abs(one - other) <= ROUNDING * max(1.0, abs(one), abs(other))
    return type(one) is type(other) and one == other


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
