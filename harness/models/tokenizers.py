"""A tokenizer is tried before it is loaded: in a process of its own, once for its files and the texts that it is for.

Those that ship are known, and in workers those that the first process has tried.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from huggingface_hub import snapshot_download

from harness.organisms import catalogue
from harness.sandbox.tokenizing import require_usable_tokenizer
from harness.sandbox.tokenizing_child import OF_DATA
from harness.spec.variant import ModelVariant

_NAMED = ("tokenizer.json", "tokenizer_config.json")
#: What may change the tokens of those two, and organisms lack.
_BESIDE = ("added_tokens.json", "special_tokens_map.json")
#: Of a repository on the hub: all that is no weights.
_OF_A_REPOSITORY = ["*.json", "*.jinja", "*.model", "*.txt"]
#: A larger file is weights, and known by its name, size and time.
_LARGEST_READ = 100_000_000
_tried: set[str] = set()


def require_tried(place: str, revision: str | None, texts: Sequence[str] = ()) -> None:
    """Raise UserError where a folder's or a repository's tokenizer cannot be loaded or used within limits.

    texts: beginnings of what it will be asked.
    """
    folder = Path(place)
    if not folder.is_dir():
        folder = Path(snapshot_download(place, revision=revision, allow_patterns=_OF_A_REPOSITORY))
    if _ships(folder):
        return
    files = _sha256(_contents(folder))
    asked = _sha256([files.encode(), *(text.encode("utf-8", "surrogatepass") for text in texts)])
    if (asked if texts else files) not in _tried:
        require_usable_tokenizer(folder, texts)
        _tried.update((files, asked))


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
            if path.is_file():
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
