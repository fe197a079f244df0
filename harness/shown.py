"""What is shown is text: strings of files, models and servers steer no terminal, no log and no build server.

The one place for it, with harness/terminal.py, by which commands print. Imports the standard library alone.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

#: Letters and marks that are drawn as nothing: joiners, fillers, variation selectors, the blank of Braille.
INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d173"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
_NON_JOINER, _JOINER, _AS_EMOJI, _KEYCAP = "\u200c", "\u200d", "\ufe0f", "\u20e3"
#: Scripts that are written with joiners between their letters: Arabic and those of India.
_JOINED = ((0x0600, 0x06FF), (0x0750, 0x077F), (0x0900, 0x0DFF))
#: What GitHub's runner takes for a command: `::error::` first in a line, `##[error]` anywhere in it.
_COMMAND = re.compile(r"^(\s*)::|##\[", flags=re.MULTILINE)

#: Variables of the environment whose values are shown to nobody.
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY", flags=re.IGNORECASE)
#: Characters. Shorter values are words and numbers that stand everywhere, `1` or `none`; no token is so short.
_SHORTEST_SECRET = 8
#: Lines of an error that are shown, and characters of a line: a path may have 4,096.
_MOST_LINES, _LONGEST_LINE = 20, 5_000
#: Tokens as their makers write them: that of `hf auth login` lies in a file, and in no variable.
_TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:hf_|gh[pousr]_|github_pat_|glpat-|sk-)[A-Za-z0-9_-]{20,}")
_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]{1,20}://)[^/\s@'\"<>]{1,500}@", flags=re.IGNORECASE)
#: The folders of an absolute path, at the start of a word: neither those of an address nor the end of a tag.
_FOLDERS = re.compile(r"(?<![\w.:/<…~)])(?:/[^\s/:;'\"<>|]+)+/(?=[^\s/])")


def spelled_out(text: str) -> str:
    """Text in which every character is seen: those that steer, hide or turn what stands around them are spelled out.

    Control characters and escapes, marks of direction, zero-width and other invisible characters, the separators of
    lines and paragraphs that are no line break, lone surrogates, and what no font has; a line break stays. So do the
    joiners and selectors of emoji, and the joiners between letters of scripts that are written with them.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character == "\n" or not _is_hidden(text, place) else f"⟨U+{ord(character):04X}⟩"
        for place, character in enumerate(text)
    )


def one_line(text: str) -> str:
    """The same, line breaks too: what is one string of a file stays on one line."""
    return spelled_out(text).replace("\n", "⟨U+000A⟩")


def passed_on(text: str) -> str:
    """The same, line breaks left, for a file that is given to others: no secret, and no place on a machine, in it."""
    return spelled_out(without_places(text))


def in_short(text: str) -> str:
    """Words of an error as far as somebody reads them: the first lines, and of a long one its beginning and its end."""
    lines = without_secrets(text).split("\n")
    shown = [line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 500]} … {line[-500:]}" for line in lines]
    more = [f"... and {len(lines) - _MOST_LINES} more"] * (len(lines) > _MOST_LINES)
    return "\n".join([*shown[:_MOST_LINES], *more])


def printable(text: str) -> str:
    """The same, and no line of it a command to the build server that shows it."""
    text = spelled_out(without_secrets(text))
    return _COMMAND.sub(lambda found: f"{found[1]}\\::" if found[0].endswith("::") else "##\\[", text)


def without_secrets(text: str) -> str:
    """Text without tokens, keys and passwords: in their place their variable's name, or what they are.

    They are values of the environment, what has a token's form, and users and passwords in addresses.
    """
    if len(text) < _SHORTEST_SECRET:
        return text
    for name in os.environ:
        if _names_a_secret(name):
            value = os.environ.get(name, "")
            if len(value) >= _SHORTEST_SECRET and value in text:
                text = text.replace(value, f"⟨{name}⟩")
    text = _TOKEN.sub("⟨token⟩", text)
    return _CREDENTIALS.sub(r"\1⟨credentials⟩@", text) if "@" in text else text


@functools.lru_cache(maxsize=1024)
def _names_a_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def without_places(text: str) -> str:
    """Text for others, in which an absolute path is its last part, and which holds no secret."""
    return _FOLDERS.sub("…/", without_secrets(text))


def escaped_json(text: str) -> str:
    """JSON text that says the same in characters that are all seen: the others as JSON's escapes."""
    text = text.replace("##[", "##\\u005b")  # a command to a build server, see printable
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    return "".join(
        _json_escape(character) if character != "\n" and _is_hidden(text, place) else character
        for place, character in enumerate(text)
    )


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _is_hidden(text: str, place: int) -> bool:
    character = text[place]
    category = unicodedata.category(character)
    if category[0] != "C" and category not in ("Zl", "Zp") and character not in INVISIBLE:
        return False
    before = text[place - 1] if place else ""
    after = text[place + 1 : place + 2]
    if character == _AS_EMOJI:
        return not (_is_symbol(before) or (after == _KEYCAP and before in tuple("0123456789#*")))
    if character == _JOINER and (_is_symbol(before) or before == _AS_EMOJI) and _is_symbol(after):
        return False
    return not (character in (_JOINER, _NON_JOINER) and _is_joined(before) and _is_joined(after))


def _is_symbol(character: str) -> bool:
    """An emoji or another picture, or the colour of its skin."""
    return bool(character) and (
        unicodedata.category(character) == "So" or "\U0001f3fb" <= character <= "\U0001f3ff" or character in "↔↕‼⁉"
    )


def _is_joined(character: str) -> bool:
    return bool(character) and any(first <= ord(character) <= last for first, last in _JOINED)


class TextAlone(io.TextIOBase):
    """A stream in front of another: all that is written becomes `printable`. under: the other one."""

    def __init__(self, under: TextIO) -> None:
        self.under = under

    def write(self, text: str) -> int:
        """Write what is seen of the text."""
        self.under.write(printable(text).replace("⟨U+0009⟩", "\t"))
        return len(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream under this one."""
        self.under.flush()

    def isatty(self) -> bool:
        """Whether the stream under this one is a terminal."""
        return self.under.isatty()

    def fileno(self) -> int:
        """The file of the stream under this one."""
        return self.under.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream under this one."""
        return self.under.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the stream under this one."""
        return self.under.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.under, name)


def only_text() -> None:
    """From now on what this process writes to stdout and stderr is text: tracebacks, warnings and logs too."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, TextAlone):
            with suppress(AttributeError, ValueError, io.UnsupportedOperation):
                ascii_alone = stream.encoding.lower() in ("ascii", "us-ascii", "ansi_x3.4-1968")
                stream.reconfigure(encoding="utf-8" if ascii_alone else None, errors="backslashreplace")
            setattr(sys, name, TextAlone(cast(TextIO, stream)))


@contextmanager
def text_alone() -> Iterator[None]:
    """`only_text` while the context lasts."""
    before = sys.stdout, sys.stderr
    only_text()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
