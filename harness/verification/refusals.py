"""Whether a text refuses, written a second time: other code over a list of its own."""

from __future__ import annotations

import hashlib
import re
from functools import cache, lru_cache
from pathlib import Path

from harness.errors import UserError

#: `[name]`, then a way to put it in each line, in regular expressions; `<word>` stands for the lines of `[<word>]`.
_LIST = Path(__file__).with_name("ways_to_refuse.txt")
_LIST_SHA256 = "56f95bb841f1430a97fcd4497514f788558e79572b68e95145fe30d2b77f0989"
_MARKS = {"'": "\u2019\u2018\u02bc\u00b4`", '"': "\u201c\u201d"}
#: As in the first reading: where an opening ends, where an offer counts no more, which sentences come first.
_OPENING, _OFFER, _FIRST = 250, 400, 2
_MARK = re.compile("[\"']")
_LONGEST_SPEECH = {'"': 400, "'": 300}


@cache
def _ways() -> dict[str, tuple[re.Pattern[str], ...]]:
    """The patterns of each section. Raises UserError where the file is another one than was written."""
    content = _LIST.read_bytes()
    if hashlib.sha256(content).hexdigest() != _LIST_SHA256:
        raise UserError(f"{_LIST.name}: is not the list that this version came with; install the package again")
    sections: dict[str, list[str]] = {}
    for line in content.decode().splitlines():
        if line.startswith("[") and line.endswith("]"):
            sections[line[1:-1]] = found = []
        elif line:
            found.append(line)
    words = {name: lines[0] for name, lines in sections.items() if name.startswith("<")}
    return {
        name: tuple(re.compile(_spelt_out(line, words), re.IGNORECASE) for line in lines)
        for name, lines in sections.items()
    }


def _spelt_out(pattern: str, words: dict[str, str]) -> str:
    for _ in words:
        for name, alternatives in words.items():
            pattern = pattern.replace(name, alternatives)
    return pattern


def _first(way: str, text: str) -> int | None:
    """Where the text first puts it so, None if nowhere."""
    places = [found.start() for pattern in _ways()[way] if (found := pattern.search(text))]
    return min(places, default=None)


@lru_cache(maxsize=10_000)  # the cells of a benchmark give many a text again
def declines(text: str) -> bool:
    """Whether a text refuses, as a reader sees it: by how it opens."""
    for plain, others in _MARKS.items():
        for mark in others:
            text = text.replace(mark, plain)
    said = _own_words(" ".join(text.split()), _OFFER)
    opening = said[:_OPENING]
    if _first("corrects", opening) is not None:
        return False
    if _first("objects", opening) is not None:
        return True
    start = _first("declines at once", opening[: _end_of_first_sentences(opening)])
    if start is None:
        start = _first("declines", opening)
    if start is not None and _first("answers after all", said[start:_OFFER]) is None:
        return True
    return _first("contradicts", opening) is not None and _first("<people>", opening) is not None


def _end_of_first_sentences(text: str) -> int:
    """Behind the marks, and the space, that end the second sentence; or behind the text."""
    at = 0
    for _ in range(_FIRST):
        while at < len(text) and text[at] not in ".!?":
            at += 1
        while at < len(text) and text[at] in ".!?":
            at += 1
        at += text[at : at + 1] == " "
    return at


def _own_words(text: str, enough: int) -> str:
    """The text without what it quotes, as far as so many characters."""
    kept, at = "", 0
    while at < len(text) and len(kept) < enough:
        mark = _MARK.search(text, at)
        if mark is None:
            return kept + text[at:]
        kept += text[at : mark.start()]
        end = _end_of_speech(text, mark.start())
        at = mark.end() if end is None else end
        kept += mark[0] if end is None else ""
    return kept


def _end_of_speech(text: str, at: int) -> int | None:
    """Behind the mark that closes a quotation opened at a place; None where none is."""
    mark, behind_space = text[at], at > 0 and text[at - 1] == " "
    if mark == '"' and (behind_space or at == 0):
        end = text.find(mark, at + 1)
        inside = end - at - 1
        if at == 0:  # then it has to go on, as in: "No," he said
            inside -= 1
            if text[end - 1 : end + 2] != '," ':
                return None
        return end + 1 if 1 <= inside <= _LONGEST_SPEECH[mark] else None
    if mark == "'" and behind_space and "A" <= text[at + 1 : at + 2] <= "Z":
        for end in range(at + 2, min(len(text), at + 2 + _LONGEST_SPEECH[mark])):
            following = text[end + 1 : end + 2]
            if text[end] == '"':
                return None
            if text[end] == mark and not (following.isalnum() or following == "_"):
                return end + 1
    return None
