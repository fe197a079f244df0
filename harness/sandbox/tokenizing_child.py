"""The process that tries a stranger's tokenizer before any other does, and each text that is new to it.

It loads the tokenizer as harness/models/loading.py does, and works through texts that patterns are slow on. Imports
transformers without torch, which spares three of four seconds.
"""

from __future__ import annotations

import json
import os
import re
import string
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from harness.sandbox.limits import compute_at_most, renounce, tied_to_the_first

#: Address space. A tokenizer of 256,000 tokens takes a quarter of it.
MEMORY_BYTES = 4 << 30
#: Of computing. The largest published tokenizers load in five, and take a microsecond a character.
SECONDS_TO_LOAD, SECONDS_TO_TRY, SECONDS_PER_CHARACTER = 60, 10, 2e-5
#: Of all texts that are asked for after the trial, and of each of them besides: what it takes to say it.
SECONDS_TO_ASK, SECONDS_A_QUESTION = 2, 2e-3
#: Tokens that are added to a vocabulary: models of speech add 65,000, and loading takes the time of each.
MOST_ADDED = 100_000
#: Of each character, in a row: where a pattern backtracks without end, and where it takes the square or more.
_LENGTHS = (32, 2_000)
#: What classes of characters in patterns hold.
_CHARACTERS = string.printable + "\u00e9\u00a0\u0301\u4e2d\U0001f600"
#: Characters that are taken out of patterns besides, those of them that are tried in pairs, and of each file of data.
_OF_PATTERNS, _IN_PAIRS, OF_DATA = 40, 8, 100_000
#: What a run of characters ends in, since what backtracks does so where no match is.
_ENDS = ("", "!", "\u0002")


def main() -> None:
    """Load the tokenizer of the folder in the first line of stdin, then try what each further line holds.

    A line is {texts}, {texts, made: true} for those of `made_texts` as well, or {ids} of tokens that are decoded. The
    answer {} says that all went well.
    """
    tied_to_the_first()
    folder = Path(json.loads(sys.stdin.readline())["folder"])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    library = _tokenizers_alone()
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # libraries in Rust write there what a file holds
        os.dup2(quiet, stream.fileno())
    renounce(MEMORY_BYTES)
    compute_at_most(SECONDS_TO_LOAD)
    tokenizer, answer = _loaded(library, folder)
    begin, allowed = time.process_time(), float(SECONDS_TO_TRY)
    while True:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        asked = json.loads(line)
        texts = [*(made_texts(folder) if asked.get("made") else ()), *asked.get("texts", ())]
        allowed += SECONDS_A_QUESTION + SECONDS_PER_CHARACTER * (sum(map(len, texts)) + 4 * len(asked.get("ids", ())))
        compute_at_most(max(0.0, begin + allowed - time.process_time()))
        answer = _tried(tokenizer, texts, asked.get("ids", ()))
        if asked.get("made"):  # what the trial left is not for what comes after
            begin, allowed = time.process_time(), float(SECONDS_TO_ASK)


def _tokenizers_alone() -> Any:
    sys.modules["torch"] = None  # type: ignore[assignment]  # so that an import of it fails
    from transformers import AutoTokenizer

    return AutoTokenizer


def _loaded(library: Any, folder: Path) -> tuple[Any, dict[str, str]]:
    """The tokenizer and {}, or {"unloadable": why}, or {"unfit": why}."""
    if (added := _most_added(folder)) > MOST_ADDED:
        return None, {"unfit": f"its files add {added} tokens to its vocabulary, more than {MOST_ADDED}"}
    try:
        return library.from_pretrained(folder, trust_remote_code=False), {}
    except MemoryError:
        return None, {"unfit": _TOO_MUCH}
    except Exception as error:
        return None, {"unloadable": f"{type(error).__name__}: {_first_line(error)}"}
    except BaseException as error:
        return None, {"unfit": f"it cannot be read: {_first_line(error)}"}


def _tried(tokenizer: Any, texts: Sequence[str], ids: Sequence[int]) -> dict[str, str]:
    """{} or {"unfit": why}."""
    text = "of its own tokens"
    try:
        for text in texts:
            tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"], skip_special_tokens=True)
        for plain in (True, False) if ids else ():
            tokenizer.decode(ids, skip_special_tokens=plain)
    except MemoryError:
        return {"unfit": _TOO_MUCH}
    except BaseException as error:  # a library in Rust that gives up raises no Exception
        return {"unfit": f"a text of {len(text)} characters that starts with {text[:20]!r}: {_first_line(error)}"}
    return {}


_TOO_MUCH = f"it takes more than {MEMORY_BYTES / 1e9:.0f} GB of memory"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def made_texts(folder: Path) -> Iterator[str]:
    """Each character in a row, also those that stand in the tokenizer's own patterns, and all of them mixed."""
    patterns = "".join(_patterns(folder / "tokenizer.json"))
    found = list(dict.fromkeys(re.sub(r"[\W\\]", "", patterns)))[:_OF_PATTERNS]
    characters = list(dict.fromkeys([*_CHARACTERS, *found]))
    for length in _LENGTHS:
        for character in characters:
            yield from (character * length + end for end in _ENDS)
        for pair in permutations(found[:_IN_PAIRS], 2):
            yield "".join(pair) * (length // 2) + _ENDS[-1]
    yield "".join(characters) * 100


def _most_added(folder: Path) -> int:
    """The largest number of tokens that one of the files adds, whichever key says so."""
    added = _content(folder / "tokenizer.json").get("added_tokens")
    lists = [added, _content(folder / "added_tokens.json")]
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        lists += _content(folder / name).values()
    return max(len(each) for each in lists if isinstance(each, list | dict))


def _content(file: Path) -> dict[str, Any]:
    """A file's mapping; an empty one where it cannot be read, which its loading tells."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _patterns(file: Path) -> Iterator[str]:
    """Every pattern in a tokenizer.json."""
    content = _content(file)
    parts = [content.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            yield from (value for key, value in part.items() if key in ("Regex", "String") and isinstance(value, str))
            parts += part.values()
        elif isinstance(part, list):
            parts += part


if __name__ == "__main__":
    main()
