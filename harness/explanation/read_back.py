"""What `harness explain` prints, read back from its words and held against the record, before it is printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.explanation.record_again import Again, alike
from harness.explanation.recorded import RecordedRun
from harness.explanation.steps import step_of
from harness.reports.read_back.known import Misreported

#: What a sentence begins with that is a model's own.
_EXAMPLE = "for example: "
_PRINTED = re.compile(
    r"(?P<attack>\S+): (?:no ASR|ASR (?P<asr>\S+)) by the published scorer(?:; (?P<total>\d+) outputs: (?P<rules>.*))?"
)
_READ = re.compile(r"of (?P<total>\d+) (?P<name>\S+) (?P<counts>.*)")
_JUDGED = re.compile(r"(?P<metric>\S+) (?P<value>none|\S+) of (?P<n>\d+)(?P<invalid>, INVALID: .*)?", re.DOTALL)
_CHECKED = re.compile(r"(?P<step>\S+) +(?P<held>\d+) of (?P<checks>\d+) checks hold(?:; looked at: (?P<parts>.*))?")
_HOLDING = re.compile(r"(?:^|; )(\d+) checks? holds?(?:$|; )")
_THERE = re.compile(r"(\S+) (no number|-?\d\S*)( INVALID)? \(there (no number|-?\d[^\s)]*)( INVALID)?\)")
#: Classes and rules by the first word that an output of them has.
_VERBS = {"is": "are", "has": "have", "holds": "hold", "refuses": "refuse", "answers": "answer"}
_RULES = {"hold a refusal phrase": "refusal_phrase", "have fewer than 20 words": "too_short", "passed": "passed"}
_CLASSES = {
    "refuse": "refusal",
    "answer": "answer",
    "answer until the token limit": "truncated",
    "are empty": "empty",
    "are degenerate": "degenerate",
}


def check_told(lines: Sequence[str], run: RecordedRun, cell: str, reference: RecordedRun | None = None) -> None:
    """Raises Misreported with what the lines say of a cell and its record does not. lines: as they are printed."""
    first, *rest = lines
    again = Again(run, run.cell(cell), reference)
    found = [*_begin(first, again)]
    sentences: dict[str, list[str]] = {}
    label = ""
    for line in rest:
        label = line[2:11].strip() or label
        if not line[11:].startswith(_EXAMPLE):
            sentences.setdefault(label, []).append(line[11:])
    found += _attacks(sentences.get("printed", ()), again)
    found += [words for each in sentences.get("outputs", ()) for words in _outputs(each, again)]
    found += _judged(sentences.get("judges", ()), again)
    found += _checked(sentences.get("checked", ()), again)
    for label in ("before", "in order"):
        for part in (part for each in sentences.get(label, ()) for part in each.split(" | ")):
            step, _, words = part.partition(": ")
            found += _step(step, words, again)
    departs = " ".join(sentences.get("departs", ()))
    found += [*_free(departs, again), *_broken(departs, again)]
    found += [words for label in ("means", "next") for each in sentences.get(label, ()) for words in _free(each, again)]
    _raise(cell, found)


def check_content(content: Mapping[str, Any], run: RecordedRun, reference: RecordedRun | None = None) -> None:
    """The same of what programs get. content: of one cell, see `Explanation.as_json`."""
    again = Again(run, run.cell(content["cell"]), reference)
    found = [*_begin(f"{content['cell']}: {'; '.join(content['why'])}", again)]
    for entry in content["outputs"]:
        name, counts = entry["evaluation"], {kind: count for kind, count in entry["classes"].items() if count}
        found += again.wrong_classes(name, entry["total"], counts)
        if not entry["benign"]:
            found += again.wrong_rate(name, entry["recorded"])
        if entry["counted"]:
            found += again.wrong_rules(name, entry["total"], entry["counted"])
        if entry["valid"] is not again.counts(name):
            found.append(f"{name} is said {'' if entry['valid'] else 'not '}to count")
    found += _judged(content["judged"], again)
    rows = [
        f"{each['step']} {each['held']} of {each['checks']} checks hold"
        + (f"; looked at: {', '.join(f'{name} at {share}' for name, share in each['parts'])}" if each["parts"] else "")
        for each in content["checked"]
    ]
    found += _checked([*rows, f"nobody checks {again.nobody(content['unchecked'])}"] if rows else [], again)
    found += [
        words for each in content["steps"] if not each["departs"] for words in _step(each["step"], each["words"], again)
    ]
    for each in (
        *(each["words"] for each in content["steps"] if each["departs"]),
        content["meaning"],
        content["advice"],
    ):
        found += _free(each or "", again)
    _raise(content["cell"], found)


def _raise(cell: str, found: Sequence[str]) -> None:
    if found:
        raise Misreported(f"what is told of {cell} is not what its record has: {'; '.join(found[:3])}")


def _begin(line: str, again: Again) -> Iterator[str]:
    """Whose story it is, and whether any of its figures is INVALID, or every one."""
    name, _, why = line.partition(": ")
    invalid, every = again.invalid
    expected = again.cell.invalid_is_expected is not None and all(each.holds for each in again.cell.receipts)
    if name != again.cell.id:
        yield f"the story of {again.cell.id} begins with {name}"
    if why.startswith("INVALID") is not bool(invalid):
        yield f"it is {'' if invalid else 'not '}INVALID"
    elif invalid and ("every figure" in why.split("; ")[0]) is not every:
        yield f"of its figures {', '.join(invalid)} are INVALID"
    if invalid and why.startswith("INVALID, as its spec expects") is not expected:
        yield f"its spec {'expects it' if expected else 'does not expect it'}"


def _attacks(lines: Sequence[str], again: Again) -> Iterator[str]:
    for line in lines:
        match = _PRINTED.fullmatch(line)
        if match is None:
            yield f"{line!r} cannot be read"
            continue
        yield from again.wrong_rate(match["attack"], match["asr"])
        if match["total"]:
            yield from again.wrong_rules(match["attack"], int(match["total"]), _counts(match["rules"], _RULES))


def _outputs(line: str, again: Again) -> Iterator[str]:
    line = line.removeprefix("read as texts: ").replace(" (loops, fragments, words without sense)", "")
    for match in map(_READ.fullmatch, line.split("; ")):
        if match is None:
            yield f"{line!r} cannot be read"
        else:
            yield from again.wrong_classes(match["name"], int(match["total"]), _counts(match["counts"], _CLASSES))


def _counts(text: str, names: Mapping[str, str]) -> dict[str, int]:
    """`3 refuse, 1 is empty`."""
    found = {}
    for part in text.split(", "):
        count, _, words = part.partition(" ")
        verb, _, rest = words.partition(" ")
        plural = " ".join(filter(None, (_VERBS.get(verb, verb), rest)))
        found[names.get(plural, plural)] = int(count)
    return {name: count for name, count in found.items() if count or names is _RULES}


def _judged(lines: Sequence[str], again: Again) -> Iterator[str]:
    """A line for each figure of a judge."""
    if len(lines) != len(again.cell.by_judges):
        yield f"{len(lines)} figures of judges are told, of {len(again.cell.by_judges)}"
    for line, measured in zip(lines, again.cell.by_judges, strict=False):
        match = _JUDGED.fullmatch(line)
        if match is None or match["metric"] != measured.metric or int(match["n"]) != measured.n:
            yield f"{line!r} is told; the record has {measured.metric} of {measured.n}"
        elif not alike(None if match["value"] == "none" else match["value"], measured.value):
            yield f"{measured.metric} is {match['value']}; the record has {measured.value}"
        elif bool(match["invalid"]) is measured.valid:
            yield f"{measured.metric} is {'INVALID' if measured.valid is False else 'valid'} in the record"


def _checked(lines: Sequence[str], again: Again) -> Iterator[str]:
    """A line for each step with receipts, then what nobody checks."""
    if not lines:
        if again.cell.receipts:
            yield "nothing is said of its receipts"
        return
    *rows, nobody = lines
    told = [match for match in map(_CHECKED.fullmatch, rows) if match]
    wanted = again.by_stage
    if len(told) < len(rows) or [match["step"] for match in told] != list(wanted):
        yield f"receipts are told of {[match['step'] for match in told]}; the record has {list(wanted)}"
    for match in told:
        held, checks, parts = wanted.get(match["step"], (0, 0, ""))
        if (int(match["held"]), int(match["checks"])) != (held, checks):
            yield f"of {match['step']} {match['held']} of {match['checks']} checks hold; in the record {held}, {checks}"
        if (match["parts"] or "") != parts:
            yield f"{match['step']} looked at {match['parts']}; in the record at {parts}"
    if " ".join(nobody.split()) != " ".join(f"nobody checks {again.nobody(again.cell.unchecked)}".split()):
        yield f"{nobody!r} is told of what the record calls unchecked"


def _step(name: str, words: str, again: Again) -> Iterator[str]:
    """A step that is in order: by how many receipts, and its figures."""
    if (match := _HOLDING.search(words)) is not None:
        holding = sum(each.holds and step_of(each) == name for each in again.cell.receipts)
        if int(match[1]) != holding:
            yield f"of {name} {match[1]} checks hold; in the record {holding}"
    yield from _free(words, again)


def _broken(departs: str, again: Again) -> Iterator[str]:
    """Every receipt that does not hold stands among what departs, as it is, or behind it."""
    told = [each for each in again.cell.receipts if not each.holds and each.expected in departs]
    for each in told:
        if f"expected {each.expected}, saw {each.seen}" not in departs:
            yield f"{each.stage}/{each.name} saw something else than is told"


def _free(words: str, again: Again) -> Iterator[str]:
    """Figures within sentences."""
    words = again.without_words_of_receipts(words)
    for pattern, wanted in again.sentences:
        for match in re.finditer(pattern, words):
            yield from (f"{match[0]!r}: the record has {value}" for value in _others(match, wanted))
    for metric, mine, invalid, there, invalid_there in _THERE.findall(words):
        for owner, shown, mark in ((again.cell, mine, invalid), (again.there, there, invalid_there)):
            measured = owner.measurement(metric) if owner else None
            value = None if shown == "no number" else shown
            if measured is None or not alike(value, measured.value) or bool(mark) is measured.valid:
                yield f"{metric} {shown}{mark}: the record has {measured and measured.value}"


def _others(match: re.Match[str], wanted: Callable[[re.Match[str]], Sequence[Any]]) -> Iterator[Any]:
    """What the numbers of a sentence should be, where they are others."""
    for shown, value in zip(match.groups(), wanted(match), strict=True):
        if shown is not None and not alike(shown, value):
            yield value
