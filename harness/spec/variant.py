"""ModelVariant: one model, where it comes from, how it is prompted, and its data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.errors import UserError
from harness.reading import real
from harness.spec.common import Declared, Name, PathText
from harness.spec.finetuning import FineTuningOverrides, FineTuningSettings, Method
from harness.spec.sizes import Sizes

#: What a variant writes for the chat template that its tokenizer brings.
OWN_TEMPLATE = "tokenizer"

Dtype = Literal["float32", "bfloat16", "float16"]


#: An owner, where there is one, and a name, each of letters, digits, `_`, `.` and `-`, of which none stands at an end.
_REPOSITORY = re.compile(r"(?:(?!\S*(?:--|\.\.|\.git$))(?:\w(?:[\w.-]{0,94}\w)?/)?\w(?:[\w.-]{0,94}\w)?)", re.ASCII)


def repository_id(text: str) -> str:
    """The text, if the hub can call a repository so. Raises ValueError for any other."""
    if not _REPOSITORY.fullmatch(text):
        raise ValueError("no name of a repository on the hub; expected OWNER/NAME of letters, digits, _, . and -")
    return text


class GGUFSource(Declared):
    """A GGUF file by `path`, relative to the variant's file, with its hash; or `pinned`, by its name among those."""

    path: PathText | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    pinned: Name | None = None

    @model_validator(mode="after")
    def one_file(self) -> GGUFSource:
        """What was converted is found by the hash of the file."""
        if (self.path is None) == (self.pinned is None) or (self.path is None) != (self.sha256 is None):
            raise ValueError("give path and sha256 (that of the file), or pinned")
        return self


class ModelSource(Declared):
    """Exactly one of: a hub repository at a revision, a local directory, a shipped organism, a GGUF file, a recipe.

    A relative `path` is relative to the variant's file. recipe: by its name (benchmarks/models/recipes/), of a model
    that `harness organism build` aligns.
    """

    repository: Annotated[str, AfterValidator(repository_id)] | None = None
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    path: PathText | None = None
    organism: str | None = None
    gguf: GGUFSource | None = None
    recipe: Name | None = None

    @model_validator(mode="after")
    def exactly_one_source(self) -> ModelSource:
        """A hub repository must be pinned to a commit."""
        kinds = ("repository", "path", "organism", "gguf", "recipe")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError("give exactly one of repository, path, organism, gguf and recipe")
        if (self.repository is None) != (self.revision is None):
            raise ValueError("repository needs revision (the full commit hash), and only repository has one")
        return self


class DatasetFile(Declared):
    """A file by `path`, or by `source`: one that the harness keeps in its own cache (harness/data/sources.py).

    path: relative to the model's directory (organism) or to the variant's file; its hash is checked. sha256 may be
    left out for a user's own file; the record then holds the hash that was found.
    system_prompt: whether the prompts of pairs from a `source` are wrapped with the variant's system prompt.
    optional: where it is not there, evaluations that rest on it are left out of a benchmark.
    """

    path: PathText | None = None
    source: Name | None = None
    system_prompt: bool | None = None
    optional: Literal[True] | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def one_origin(self) -> DatasetFile:
        """A file of a source has its hash in the cache's lock."""
        if (self.path is None) == (self.source is None):
            raise ValueError("give exactly one of path and source")
        if self.source is not None and self.sha256 is not None:
            raise ValueError("sha256 is that of a path; a file of a source is checked against lock.json of the cache")
        if self.path is not None and self.system_prompt:
            raise ValueError("system_prompt is for a source; the prompts of a path are taken as they are")
        return self


class ModelVariant(Declared):
    """What a benchmark has to know about a model. `datasets` maps the names that specs use to files.

    family: a word for people; what is done follows from the tokenizer, the template and the config.
    tensor_parallel_size: over how many GPUs the engine spreads its copy of the weights; of engines that can.
    fine_tuning: values of this model instead of a spec's, by method. sizes: the largest that it asks of any spec.
    """

    name: Name
    title: str
    family: Name
    source: ModelSource
    dtype: Dtype
    chat_template: str = OWN_TEMPLATE
    system_prompt: str
    context_tokens: int = Field(gt=0)
    max_new_tokens: int = Field(gt=0)
    engine: str = "hf"
    tensor_parallel_size: int = Field(default=1, gt=0)
    planted_region: PathText | None = None
    datasets: dict[Name, DatasetFile] = Field(default_factory=dict)
    zero_shot_tasks: tuple[str, ...] = ()
    show_completions: bool = False
    fine_tuning: dict[Method, FineTuningOverrides] = Field(default_factory=dict)
    sizes: Sizes = Field(default=Sizes(), exclude_if=lambda sizes: sizes == Sizes())

    def scaled(self, settings: FineTuningSettings) -> FineTuningSettings:
        """A spec's settings with this model's values in them."""
        overrides = self.fine_tuning.get(settings.method)
        return settings if overrides is None else overrides.applied_to(settings)

    def with_weights(self, folder: Path) -> ModelVariant:
        """This variant with the checkpoint in a folder instead of the one on the hub. Raises UserError for others."""
        if self.source.organism is not None:
            raise UserError(
                f"{self.name} is an organism, whose data lie beside its weights; expected a variant with "
                "weights on the hub: give the folder itself as the model"
            )
        if not (folder / "config.json").is_file():
            raise UserError(
                f"{folder}: no checkpoint is here; expected a folder with config.json, tokenizer files and "
                "weights as safetensors"
            )
        return self.model_copy(update={"source": ModelSource(path=str(real(folder)))})

    def as_record(self) -> dict[str, Any]:
        """The variant as a record holds it: of absolute paths, which tell of a machine, only the last component."""
        fields = self.model_dump(mode="json", exclude_none=True)
        for holder, key in [
            (fields["source"], "path"),
            (fields["source"].get("gguf", {}), "path"),
            (fields, "planted_region"),
            *((dataset, "path") for dataset in fields["datasets"].values()),
        ]:
            if key in holder and Path(holder[key]).is_absolute():
                holder[key] = Path(holder[key]).name
        return fields
