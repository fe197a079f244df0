"""Data that is downloaded: which file, from where, at which commit, with which hash."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import Field, model_validator

from harness.spec import locations
from harness.spec.common import Declared, Name
from harness.spec.loading import load_yaml_model

_SHA256 = r"^[0-9a-f]{64}$"
_COMMIT = r"^[0-9a-f]{40}$"


class PinnedPart(Declared):
    """A file in a wheel of a Python package. sha256: of the wheel."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^[0-9][A-Za-z0-9.!+]*$")
    sha256: str = Field(pattern=_SHA256)
    file: str


class PinnedFile(Declared):
    """A URL that names a commit, a `file` of a data set on the Hugging Face hub at a revision, or `parts` in packages.

    parts: which make the file when they are joined in their order.
    sha256: None where none was published; the first download decides.
    """

    url: str | None = None
    parts: tuple[PinnedPart, ...] = ()
    repository: str | None = None
    revision: str | None = Field(default=None, pattern=_COMMIT)
    file: str | None = None
    sha256: str | None = Field(default=None, pattern=_SHA256)

    @model_validator(mode="after")
    def one_place(self) -> PinnedFile:
        """A file that could come from two places, or from a branch, is not pinned."""
        of_the_hub = [part is not None for part in (self.repository, self.revision, self.file)]
        given = [self.url is not None, any(of_the_hub), bool(self.parts)]
        if sum(given) != 1 or any(of_the_hub) != all(of_the_hub):
            raise ValueError("give exactly one of url, parts, and repository with revision and file")
        if self.parts and self.sha256 is None:
            raise ValueError("a file of parts needs sha256, that of the joined file")
        return self

    @property
    def ending(self) -> str:
        """The ending of the file's name, dot included."""
        return ".gguf" if self.parts else PurePosixPath(self.url or self.file or "").suffix


class PinnedTask(Declared):
    """The data set on the hub that a task of lm-eval reads, and the revision that is read here."""

    repository: str
    revision: str = Field(pattern=_COMMIT)


class PinnedData(Declared):
    """benchmarks/data/pinned.yaml."""

    files: dict[Name, PinnedFile]
    tasks: dict[str, PinnedTask] = Field(default_factory=dict)


def pinned_data() -> PinnedData:
    """All that is pinned."""
    return load_yaml_model(locations.pinned_data_path(), PinnedData)
