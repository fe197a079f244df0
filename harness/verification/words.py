"""What receipts and canaries that hold say, held against words and fields that are written here a second time.

The list is words_of_receipts.txt, which says how it is read. Of one that does not hold, the verdict quotes the words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded
from harness.verification.said import KINDS, SELECTS, saying

_LIST = Path(__file__).with_name("words_of_receipts.txt")
_PLACE = re.compile(r"\{([^{}]+)\}")
_NO_WORDS = "(?!)"
#: Of what a number in words may be off, in units of its last digit, where the evidence is rounded as well.
_LAST_DIGIT = 0.6


@dataclass
class _Section:
    """Of one receipt. same: fields alike in all cells. most: (field, field or number). shares: (what, how, needed)."""

    expected: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    most: list[tuple[str, str]] = field(default_factory=list)
    shares: list[tuple[str, str, bool]] = field(default_factory=list)


@cache
def _sections() -> Mapping[str, _Section]:
    found: dict[str, _Section] = {}
    for line in _LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found[line[1:-1]] = _Section()
            continue
        key, _, words = line.partition(": ")
        if not words or line.startswith("#"):
            continue
        if key in ("evidence", "same"):
            getattr(section, key).extend(words.split())
        elif key == "most":
            section.most.append(tuple(words.split()))  # type: ignore[arg-type]
        elif key.startswith("shares"):
            what, how = words.rsplit(" ", 1)
            section.shares.append((what, how, key == "shares"))
        else:
            getattr(section, key).append(words)
    return found


def _section(name: str) -> _Section | None:
    return next((section for pattern, section in _sections().items() if fnmatchcase(name, pattern)), None)


#: What is the same in all cells: (receipt, name, evaluations of the cell).
Alike = dict[tuple[str, str, tuple[str, ...]], object]


def check_words(run: Recorded, ledger: Ledger) -> None:
    """Compare words, fields of evidence and shares of all receipts and canaries that hold."""
    alike: Alike = {}
    for cell in run.record.cells:
        measured = tuple(entry.name for entry in run.entries_of(cell))
        for receipt in cell.receipts:
            if receipt.holds:
                _check(run, cell, receipt, (alike, measured), ledger)
    for canary in run.record.canaries:
        if canary.holds:
            _check(run, None, canary, (alike, ()), ledger)


def unread_words(run: Recorded) -> list[str]:
    """Receipts of plugins, of which nothing here says what they say."""
    names = {f"{receipt.stage}/{receipt.name}" for cell in run.record.cells for receipt in cell.receipts}
    return [f"what the receipt {name} says" for name in sorted(names) if _section(name) is None]


def _check(
    run: Recorded, cell: CellResult | None, receipt: StageReceipt, others: tuple[Alike, tuple[str, ...]], ledger: Ledger
) -> None:
    name, place = f"{receipt.stage}/{receipt.name}", "canaries" if cell is None else cell.id
    section = _section(name)
    if section is None:
        if _ships_alone(run):
            ledger.wrong("receipt", place, name, "there", "none: nothing here gives such a receipt")
        return
    _check_fields(place, name, receipt, section, ledger)
    held = saying(run, cell, receipt)
    for part in ("expected", "seen", "advice"):
        told = getattr(receipt, part)
        patterns = [_pattern(template, receipt, held) for template in getattr(section, part)]
        matches = [found for pattern in patterns if (found := re.fullmatch(pattern, told, re.DOTALL))]
        if not matches:
            ledger.wrong("words", place, f"{part} of {name}", told, getattr(section, part)[0])
            continue
        ledger.agrees["words"] += 1
        captured = matches[0].groupdict()
        _check_near(place, f"{part} of {name}", captured, receipt, ledger)
        for key, words in captured.items():
            if key.startswith("same_"):
                _check_alike(place, name, key.removeprefix("same_"), words, others, ledger)
    for key in section.same:
        _check_alike(place, name, key, receipt.evidence.get(key), others, ledger)


def _ships_alone(run: Recorded) -> bool:
    """Whether nothing but what ships can have given a receipt."""
    regions = [region for cell in run.declared.values() for region in cell.regions]
    known = KINDS.issuperset(entry.kind for entry in run.spec.evaluations)
    return known and SELECTS.issuperset(each.select for each in regions) and not run.record.provenance.plugins


def _check_alike(
    place: str, name: str, key: str, value: object, others: tuple[Alike, tuple[str, ...]], ledger: Ledger
) -> None:
    known, measured = others
    first = known.setdefault((name, key, measured), value)
    ledger.same("words", place, f"{key} of {name}, as in other cells", value, first)


def _check_fields(place: str, name: str, receipt: StageReceipt, section: _Section, ledger: Ledger) -> None:
    """Fields that are missing or too many, numbers that exceed others, and which shares were looked at."""
    needed = {each for each in section.evidence if not each.endswith("?") and "*" not in each}
    known = [each.rstrip("?") for each in section.evidence]
    endings = [each[1:] for each in section.evidence if each.startswith("*_") and not each.endswith("?")]
    stems = {key.removesuffix(ending) for ending in endings for key in receipt.evidence if key.endswith(ending)}
    needed |= {f"{stem}{ending}" for ending in endings for stem in stems}
    if endings and not stems:
        ledger.wrong("evidence of receipts", place, f"*{endings[0]} of {name}", "missing", "a number")
    for missing in sorted(needed - receipt.evidence.keys()):
        ledger.wrong("evidence of receipts", place, f"{missing} of {name}", "missing", "a number")
    for key, value in receipt.evidence.items():
        fits = any(fnmatchcase(key, pattern) for pattern in known)
        ledger.same("evidence of receipts", place, f"whether {name} has {key}", True, fits)
        if isinstance(value, int | float) and not isinstance(value, bool):
            real = math.isfinite(value) and (value >= 0 or key.endswith("correlation"))
            ledger.same("evidence of receipts", place, f"{key} of {name}, whether it can be", real, True)
    for least, most in section.most:
        low, high = receipt.evidence.get(least), receipt.evidence.get(most, most)
        fits = low is None or _number(low) <= _number(high)
        ledger.same("evidence of receipts", place, f"{least} of {name}, at most {most}", fits, True)
    _check_shares(place, name, receipt, section, ledger)


def _check_shares(place: str, name: str, receipt: StageReceipt, section: _Section, ledger: Ledger) -> None:
    known = {what: (how, needed) for what, how, needed in section.shares}
    looked = {share.what: share for share in receipt.looked_at}
    missing = [what for what, (_, needed) in known.items() if needed and what not in looked]
    ledger.same("share", place, f"what {name} looked at, and does not say", missing, [])
    ledger.same("share", place, f"what {name} does not look at", sorted(looked.keys() - known.keys()), [])
    for what, share in looked.items():
        if what in known and known[what][0] == "all":
            ledger.same("share", place, f"{what} of {name}, all of them", share.seen, share.of)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.inf


def _pattern(template: str, receipt: StageReceipt, held: Mapping[str, str]) -> str:
    """A regular expression of a template with everything that is known in it."""
    parts = _PLACE.split(template)
    places = (_of_place(part, receipt, held) if odd % 2 else re.escape(part) for odd, part in enumerate(parts))
    return "".join(places)


def _of_place(place: str, receipt: StageReceipt, held: Mapping[str, str]) -> str:
    if place == "*":
        return ".*"
    kind, rest = place[0], place[1:]
    if kind == "@":
        return held.get(rest, _NO_WORDS)
    if kind == "=":
        return f"(?P<same_{rest}>.+)"
    if kind == "~":
        return f"(?P<near_{rest.partition(':')[0]}>[-+.e0-9]+)"
    name, _, how = place.partition(":")
    if name == "of":
        shares = [share.of for share in receipt.looked_at if share.what == how]
        return str(shares[0]) if shares else _NO_WORDS
    value = receipt.evidence.get(name)
    if value is None:
        return _NO_WORDS
    try:
        return re.escape(format(value, how))
    except ValueError:  # words where a number was due
        return _NO_WORDS


def _check_near(place: str, name: str, captured: Mapping[str, str], receipt: StageReceipt, ledger: Ledger) -> None:
    """Numbers in words that stand beside rounded evidence."""
    for key, words in captured.items():
        if key.startswith("near_"):
            value, told = _number(receipt.evidence.get(key.removeprefix("near_"))), _number(words)
            unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3) if 0 < abs(value) < math.inf else 1e-6
            fits = told == value or abs(told - value) <= _LAST_DIGIT * unit
            ledger.same("words", place, f"{key.removeprefix('near_')} in {name}", fits, True)
