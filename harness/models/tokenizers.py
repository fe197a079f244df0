"""A tokenizer is tried before it is loaded: in a process of its own, for its files and then for each new text.

Those that ship are known, and in workers those that the first process has tried.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from transformers import PreTrainedTokenizerBase

from harness.organisms import catalogue
from harness.reading import no_file
from harness.sandbox.tokenizing import require_tokenised, require_usable_tokenizer
from harness.sandbox.tokenizing_child import OF_DATA
from harness.spec.variant import ModelVariant

_NAMED = ("tokenizer.json", "tokenizer_config.json")
#: What may change the tokens of those two, and organisms lack.
_BESIDE = ("added_tokens.json", "special_tokens_map.json")
#: Of a repository on the hub: all that is no weights.
_OF_A_REPOSITORY = ["*.json", "*.jinja", "*.model", "*.txt"]
#: A larger file is weights, and known by its name, size and time.
_LARGEST_READ = 100_000_000
#: What the methods of a tokenizer are given, by name: texts, or tokens.
_GIVEN = ("text", "text_pair", "token_ids")
_tried: set[str] = set()


def require_tried(place: str, revision: str | None, texts: Sequence[str] = ()) -> Path | None:
    """Raise UserError where a folder's or a repository's tokenizer cannot be loaded or used within limits.

    texts: beginnings of what it will be asked. Returns the folder, for `asked_first`; None of one that ships.
    """
    folder = Path(place)
    if not folder.is_dir():
        folder = Path(snapshot_download(place, revision=revision, allow_patterns=_OF_A_REPOSITORY))
    if _ships(folder):
        return None
    files = _sha256(_contents(folder))
    asked = _sha256([files.encode(), *(text.encode("utf-8", "surrogatepass") for text in texts)])
    if (asked if texts else files) not in _tried:
        require_usable_tokenizer(folder, texts)
        _tried.update((files, asked))
    return folder


def asked_first(tokenizer: PreTrainedTokenizerBase, folder: Path | None) -> PreTrainedTokenizerBase:
    """The tokenizer, which from now on tokenises and decodes nothing that was not tried in a process of its own.

    A pattern may be slow on texts alone that no trial before has: on words of the data that a benchmark fetches. Such a
    text raises UserError. folder: what `require_tried` gave.
    """
    if folder is not None:
        held: Any = tokenizer
        for method, tried in (("_encode_plus", _texts_tried), ("_decode", _ids_tried)):
            setattr(held, method, _AskedFirst(getattr(held, method), folder, tried))
    return tokenizer


def require_decodable(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> None:
    """Try tokens as `asked_first` does, for what decodes them with the tokenizer's own decoder. Raises UserError."""
    decoding = getattr(tokenizer, "_decode", None)
    if isinstance(decoding, _AskedFirst):
        decoding.tried(decoding.folder, ids)


@dataclass(frozen=True)
class _AskedFirst:
    """A method of a tokenizer, behind the trial of what it is given."""

    method: Callable[..., Any]
    folder: Path
    tried: Callable[[Path, Any], None]

    def __call__(self, *given: Any, **options: Any) -> Any:
        for each in (*given[:2], *(options.get(name) for name in _GIVEN)):
            self.tried(self.folder, each)
        return self.method(*given, **options)


def _texts_tried(folder: Path, given: Any) -> None:
    if isinstance(given, str):
        require_tokenised(folder, [given])
    elif isinstance(given, list | tuple):
        for each in given:
            _texts_tried(folder, each)


def _ids_tried(folder: Path, given: Any) -> None:
    if given is not None:
        given = given["input_ids"] if isinstance(given, Mapping) else given
        require_tokenised(folder, ids=[given] if isinstance(given, int) else [*map(int, given)])


def tried() -> tuple[str, ...]:
    """What was tried here, for `take_as_tried` in another process."""
    return tuple(sorted(_tried))


def take_as_tried(known: Iterable[str]) -> None:
    """What the first process has tried."""
    _tried.update(known)


def beginnings(variant: ModelVariant, folder: Path) -> list[str]:
    """Of the variant's own files of data, whole and line by line, and its system prompt. folder: paths start there."""
    found = [variant.system_prompt]
    for declared in variant.datasets.values():
        with suppress(OSError, ValueError):  # told where it is read for its own sake
            path = folder / (declared.path or "")
            if path.is_file() and no_file(path) is None:
                with path.open("rb") as file:
                    text = file.read(OF_DATA).decode("utf-8", "replace")
                found += [text, *text.splitlines()]
    return list(dict.fromkeys(found))


def _ships(folder: Path) -> bool:
    if any(os.path.lexists(folder / name) for name in _BESIDE):
        return False
    with suppress(OSError):
        return tuple((folder / name).read_bytes() for name in _NAMED) in _shipped()
    return False


@functools.cache
def _shipped() -> frozenset[tuple[bytes, ...]]:
    folders = map(catalogue.organism_directory, catalogue.organism_names())
    return frozenset(tuple((folder / name).read_bytes() for name in _NAMED) for folder in folders)


def _contents(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix != ".safetensors":
            found = path.stat()
            content = path.read_bytes() if found.st_size <= _LARGEST_READ else b""
            yield f"{path.name} {found.st_size} {found.st_mtime_ns if not content else 0} ".encode("utf-8", "replace")
            yield content


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
