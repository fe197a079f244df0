"""Base classes and field types that every declarative file shares."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

#: Where in a file something stands: keys and, in lists, numbers from 0.
KeyPath = tuple[str | int, ...]
#: Seeds, counts, ranks and sizes: the largest that every random generator in use takes.
LARGEST_INTEGER = 2**32 - 1
#: Of texts of an evaluation, pairs, examples: they are held in memory, all at once.
MOST = 1_000_000


class Strict(BaseModel):
    """A model that refuses unknown keys, NaN and infinity, and cannot be changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Declared(Strict):
    """What somebody wrote into a file: a truth value is no number, and no integer is beyond what can be counted."""

    @model_validator(mode="before")
    @classmethod
    def numbers_are_numbers(cls, content: Any) -> Any:
        """Python takes `true` for 1, and so would pydantic."""
        if not isinstance(content, dict):
            return content
        problems: list[InitErrorDetails] = []
        for field, may_be_truth in _fields_of_numbers(cls).items():
            value = content.get(field)
            if type(value) in _LOOKED_AT:
                for place, inner in _plain(value):
                    expected = _expected(inner, may_be_truth)
                    if expected is not None:
                        kind = PydanticCustomError("no_number", "{expected}", {"expected": expected})
                        problems.append({"type": kind, "loc": (field, *place), "input": inner})
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return content


class Found(Strict):
    """What a run found: a figure may be no number until it is written, and never is in a file."""

    model_config = ConfigDict(allow_inf_nan=True)


_LOOKED_AT = (bool, int, list, dict)


@functools.cache
def _fields_of_numbers(model: type[BaseModel]) -> dict[str, bool]:
    """The fields that hold numbers, alone or in lists and mappings, and whether a truth value may stand there too."""
    leaves = {name: set(_leaves(field.annotation)) for name, field in model.model_fields.items()}
    return {name: bool(kinds & {bool, Any}) for name, kinds in leaves.items() if kinds & {int, float}}


def _leaves(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for each in inner:
        yield from [type(each)] if isinstance(each, str | int) else _leaves(each)


def _plain(value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The value, or the items of a list and the values of a mapping at any depth, each with its place."""
    if isinstance(value, list | dict):
        for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from (((place, *path), each) for path, each in _plain(inner))
    else:
        yield (), value


def _expected(value: Any, may_be_truth: bool) -> str | None:
    """What was expected in the place of a value that is no number here, or None."""
    if isinstance(value, bool):
        return None if may_be_truth else "expected a number"
    return f"expected at most {LARGEST_INTEGER}" if isinstance(value, int) and abs(value) > LARGEST_INTEGER else None


def number_or_words(value: float | int | str) -> float | int | str:
    """Itself, or the name of what is no finite number, for which JSON has no word."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


#: A number or words beside a finding, always as JSON can hold it.
Evidence = Annotated[float | int | str, AfterValidator(number_or_words)]

#: A share above 0 and at most 1.
Share = Annotated[float, Field(gt=0.0, le=1.0)]
#: A share from 0 to 1, both included.
ShareOrZero = Annotated[float, Field(ge=0.0, le=1.0)]
#: What Windows keeps for itself, whatever ending follows.
_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def file_name(text: str) -> str:
    """The text, if it can name a file in its folder on every system. Raises ValueError for any other."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise ValueError(
            "expected letters, digits and ._- alone, a letter or digit first, 100 characters at most, since it names "
            "files"
        )
    if _OF_WINDOWS.fullmatch(text) or text.endswith("."):
        raise ValueError("expected a name that Windows does not keep for itself, without a dot at its end")
    return text


#: Names that become part of file names and identifiers.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100), AfterValidator(file_name)]


def path_text(text: str) -> str:
    """The text, if a file system takes it as a path. Raises ValueError for any other."""
    parts = text.replace("\\", "/").split("/")
    if not text or not text.isprintable() or len(text) > 1000 or any(len(part.encode()) > 255 for part in parts):
        raise ValueError("expected the path of a file or a folder: printable, 1000 characters at most")
    return text


#: A path as a file of the user's writes it.
PathText = Annotated[str, AfterValidator(path_text)]
#: Names of files that are made of other values, as cell ids are of a grid's.
FileName = Annotated[str, AfterValidator(file_name)]
