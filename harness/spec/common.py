"""Base classes and field types that every declarative file shares."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """A model that refuses unknown keys and cannot be changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


#: Where in a file something stands: keys and, in lists, numbers from 0.
KeyPath = tuple[str | int, ...]
#: A share above 0 and at most 1.
Share = Annotated[float, Field(gt=0.0, le=1.0)]
#: A share from 0 to 1, both included.
ShareOrZero = Annotated[float, Field(ge=0.0, le=1.0)]
#: Names that become part of file names and identifiers.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]


def file_name(text: str) -> str:
    """The text, if it can name a file in its folder on every system. Raises ValueError for any other."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        return text
    raise ValueError(
        "expected letters, digits and ._- alone, a letter or digit first, 100 characters at most, since it names files"
    )


#: Names of files that are made of other values, as cell ids are of a grid's.
FileName = Annotated[str, AfterValidator(file_name)]
