"""Files of others, read with limits: whatever lies in a file's place, it ends in words that name the file.

Nothing here waits: a pipe, a device or a socket in a file's place is refused before it is read.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from harness.errors import UserError

#: Bytes of a file that is held in memory as a whole: the largest text that is usual, WikiText-103, has half as many.
LARGEST = 1 << 30
#: Lists and mappings within each other in JSON; records have 7.
DEEPEST_JSON = 60
#: Digits of an integer: no figure, seed or count is longer, and more are not kept by a float.
LONGEST_INTEGER = 18
#: Of those in a model's configs: tokenizers that know no longest text say 10^30.
LONGEST_INTEGER_OF_CONFIGS = 40
#: A text of JSON, whole: brackets and digits in it are none.
_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
#: Numbers that may be too long, or not finite. Without one of them the parser needs no look at each number.
_LONG_NUMBER = re.compile(rf"\d{{{LONGEST_INTEGER + 1}}}|[eE]\+?\d{{3}}")
#: How JSON in ASCII writes half of a character beyond U+FFFF; the other half has to follow.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotJSON(ValueError):
    """Text is no JSON, or more than is read here. The words say which, and where."""


def without_waiting(path: str | os.PathLike[str], flags: int) -> int:
    """For `open` as its opener: a descriptor from which nothing waits, whatever lies there. Raises OSError."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """The bytes of a regular file, or of one that a link leads to.

    Raises UserError where there is none, where something else is in its place, and for more than `largest` bytes.
    """
    try:
        with open(path, "rb", opener=without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{path}: is {_kind(found.st_mode)}; expected a file")
            if found.st_size > largest:
                raise UserError(f"{path}: has {found.st_size} bytes; expected at most {largest}")
            if (content := file.read(largest + 1)) is None:
                raise UserError(f"{path}: holds nothing yet, and waits for more; expected a file")
            return content
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; expected a file") from None
    except ValueError:  # a NUL in a name
        raise UserError(f"{str(path)!r}: is no name of a file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {_reason(path, error)}") from None


def no_file(path: Path) -> str | None:
    """What stands in a file's place: a pipe, a device, a link that leads nowhere; None for a file, or nothing.

    A file without a size that holds something all the same is the system's: it may wait for more (/proc/kmsg).
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return _kind(found.st_mode)
        if found.st_size == 0:
            with open(path, "rb", opener=without_waiting) as file:
                return None if file.read(1) == b"" else "a file of the system"
    except OSError:
        return "a link that leads nowhere" if path.is_symlink() and not path.exists() else None
    return None


def real(path: Path) -> Path:
    """The place that a path names, whatever links it goes by; `Path.resolve` fails at links that go in a circle."""
    return Path(os.path.realpath(path))


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a file in UTF-8, line ends as they are. Raises UserError as `read_bytes`, and for other bytes."""
    content = read_bytes(path, largest)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: cannot be read: it is not UTF-8 (byte {error.start} of the file)") from None


def read_unmarked(path: Path, largest: int = LARGEST) -> str:
    """The same, without the mark of byte order that editors on Windows put before a text; JSON has no room for it."""
    return read_text(path, largest).removeprefix("\ufeff")


def lines_of(text: str) -> list[str]:
    """The lines of a text that hold more than white space, without that around them.

    A line ends in a line feed, a carriage return or both. Other characters that Unicode takes for the end of a line,
    such as U+2028, U+0085 and form feeds, are part of a request as any letter is.
    """
    return [stripped for line in _LINE_END.split(text) if (stripped := line.strip())]


def read_prose(path: Path) -> str:
    """The text of a file that is one text: every line end is a line feed. Raises UserError as `read_text`."""
    return read_unmarked(path).replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises UserError as `read_text`, and for what `parsed_json` refuses."""
    try:
        return parsed_json(read_text(path))
    except NotJSON as error:
        raise UserError(f"{path}: {error}") from None


def parsed_json(text: str, longest_integer: int = LONGEST_INTEGER, halves: bool = False) -> Any:
    """JSON with every key once, finite numbers and a depth that ends. Raises NotJSON for any other text.

    halves: whether strings may hold lone surrogates, for what shows them spelled out.
    """
    without_texts = _TEXT.sub("", text)
    _refuse_deep(without_texts)
    any_long = _LONG_NUMBER.search(without_texts) is not None
    try:
        content = json.loads(
            text,
            object_pairs_hook=_with_keys_once,
            parse_int=(lambda digits: _integer(digits, longest_integer)) if any_long else None,
            parse_float=_finite if any_long else None,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise NotJSON(f"not JSON: {error.msg.splitlines()[0]} ({where})" if text.strip() else "is empty") from None
    if not halves and _HALF.search(text):
        _refuse_halves(content)
    return content


def _refuse_halves(content: Any) -> None:
    """Half a character can be held, and neither hashed, written nor printed."""
    try:
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise NotJSON(f"holds U+{half:04X}, half a character; expected Unicode text") from None


def _refuse_deep(without_texts: str) -> None:
    """json.loads recurses, and ends at a depth that other callers decide."""
    if without_texts.count("[") + without_texts.count("{") <= DEEPEST_JSON:
        return
    depth = 0
    for found in _BRACKET.finditer(without_texts):
        depth += 1 if found[0] in "[{" else -1
        if depth > DEEPEST_JSON:
            raise NotJSON(f"is nested more than {DEEPEST_JSON} levels deep")


def _with_keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        times = Counter(name for name, _ in pairs)
        raise NotJSON(f"the key {next(name for name in times if times[name] > 1)!r} is given twice")
    return content


def _integer(digits: str, longest: int) -> int:
    if len(digits.lstrip("-")) > longest:
        raise NotJSON(f"the integer {digits[:12]}… has more than {longest} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise NotJSON(f"{digits[:20]} is no finite number")
    return number


def _no_constant(name: str) -> None:
    raise NotJSON(f"{name} is no finite number")


def _kind(mode: int) -> str:
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "no regular file")


def _reason(path: Path, error: OSError) -> str:
    """The system's words, or what lies there: a socket cannot be opened at all."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return error.strerror or str(error)
    return error.strerror or str(error) if stat.S_ISREG(mode) else f"it is {_kind(mode)}; expected a file"
