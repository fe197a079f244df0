"""JSON -> validated models: what a harness wrote, read again as if somebody else had."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.errors import UserError
from harness.reading import NotJSON, parsed_json, read_text

Model = TypeVar("Model", bound=BaseModel)
Content = TypeVar("Content")
#: So many problems of a file are named.
NAMED = 5


class Unfit(ValueError):
    """JSON is none of what was expected. The words name each key and what is wrong with it."""


def load_json_model(path: Path, model: type[Model], what: str) -> Model:
    """Read one JSON file into `model`. Raises UserError that names the file, the keys and what is wrong.

    what: what the file should be, in words: `a record of this version`.
    """
    try:
        return content_of_json(read_text(path), _adapter(model))
    except Unfit as error:
        raise UserError(f"{path}: not {what}: {error}") from None


@cache
def _adapter(model: type[Model]) -> TypeAdapter[Model]:
    return TypeAdapter(model)


def content_of_json(text: str, kind: TypeAdapter[Content]) -> Content:
    """JSON text as what it should be: types as they stand, numbers finite, every key once. Raises Unfit."""
    try:
        parsed_json(text)
        return kind.validate_json(text, strict=True)
    except NotJSON as error:
        raise Unfit(str(error)) from None
    except ValidationError as error:
        raise Unfit(problems_of(error)) from None


def problems_of(error: ValidationError) -> str:
    """`cells.0.id: ...; ...`: the first problems, each with its key."""
    told = []
    for item in error.errors(include_url=False, include_input=False)[:NAMED]:
        key = ".".join(map(str, item["loc"]))
        words = item["msg"].removeprefix("Value error, ")
        told.append(f"{key[:200]}: {words}" if key else words)
    more = error.error_count() - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")
