"""A YAML file read a second time, as PyYAML has it: what was made of it holds all that the file says, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from harness.errors import UserError
from harness.reading import read_text
from harness.spec.golden import GoldenFile

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Differences that are told.
_TOLD = 3
_NOTHING = object()
#: The package whose models take what is written as it is.
_OWN = __name__.partition(".")[0]


def check_read(path: Path, loaded: BaseModel) -> None:
    """Raises UserError where a spec, variant or golden file was read as something else than it says.

    path: of YAML that was already read, within the limits of size and depth. loaded: what was made of it.
    """
    content = plain_yaml(read_text(path))
    if isinstance(loaded, GoldenFile):
        content = _with_sources(content)
    found = [*_differences(content, loaded, "")]
    if found:
        more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        raise UserError(
            f"{path}: was not read as it is written: {'; '.join(found[:_TOLD])}{more}; this is a fault of the harness: "
            "nothing is measured by a file that it misreads, please report it"
        )


def plain_yaml(text: str) -> Any:
    """What PyYAML makes of a text that was read already: by libyaml where it is there, which takes tabs as blanks."""
    return yaml.load(text.removeprefix("\ufeff"), _LOADER)


def _with_sources(golden: dict[str, Any]) -> dict[str, Any]:
    """A value without a source has that of its file."""
    if golden.get("source") is None:
        return golden
    return {**golden, "values": [{"source": golden["source"], **each} for each in golden["values"]]}


def _differences(written: Any, read: Any, key: str) -> Iterator[str]:
    """What is written and was lost or changed, and what was read and is not written, by key.

    What settings of an installed plugin make of their entry is theirs.
    """
    if isinstance(read, BaseModel):
        if not type(read).__module__.startswith(f"{_OWN}."):
            return
        read = {name: getattr(read, name) for name in read.model_fields_set}
        if isinstance(written, str) and list(read.values()) == [written]:
            return  # a name alone stands for the mapping that has nothing else
    if isinstance(written, dict) and isinstance(read, dict):
        for name in [*written, *(name for name in read if name not in written)]:
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(written.get(name, _NOTHING), read.get(name, _NOTHING), inner)
    elif isinstance(written, list) and isinstance(read, list | tuple):
        if len(written) != len(read):
            yield f"{key} has {len(written)} entries in the file, and {len(read)} as read"
        for place, (one, other) in enumerate(zip(written, read, strict=False)):
            yield from _differences(one, other, f"{key}[{place}]")
    elif not _same(written, read):
        yield f"{key} is {_words(written)} in the file, and {_words(read)} as read"


def _same(written: Any, read: Any) -> bool:
    """Of one value; a path is the text that it was, and a text in the place of a number is the number in it."""
    if isinstance(read, Path):
        return isinstance(written, str) and Path(written) == read
    if isinstance(written, str) and isinstance(read, bool):
        return written.lower() in (("true", "yes", "on", "1") if read else ("false", "no", "off", "0"))
    if isinstance(written, str) and isinstance(read, int | float):
        with suppress(ValueError):
            return int(written) == read if isinstance(read, int) else float(written) == read
        return False
    if isinstance(written, bool) or isinstance(read, bool):
        return written is read
    return bool(written == read)


def _words(value: Any) -> str:
    return "missing" if value is _NOTHING else repr(value)[:80]
