"""What a variant may name as the `source` of a data set, and where in the cache the file is.

Adding one is an entry here, and its recipe in harness/fetching/recipes.py if it is not a pinned file as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from harness import plugins
from harness.data.cache import LockedFile, checked_file, data_folder, file_sha256, read_lock
from harness.errors import UserError
from harness.reading import real
from harness.spec import alignment, locations
from harness.spec.alignment import AlignmentRecipe
from harness.spec.loading import load_yaml_model
from harness.spec.pinned import PinnedFile, pinned_data
from harness.spec.variant import OWN_TEMPLATE, DatasetFile, GGUFSource, ModelVariant

#: `verbatim`: the pinned file. `made`: the same for every model. `wrapped`: prompts in the variant's template.
#: `task`: the YAML file of a zero-shot task, its items beside it. `calibration`: written by
#: `harness calibration build`. `supplied`: a file of the user's, `harness data supply`.
Kind = Literal["verbatim", "made", "wrapped", "task", "calibration", "supplied"]


@dataclass(frozen=True)
class Source:
    """of: the pinned file behind it. ending: of the file's name. recipe: raised where its recipe gives other bytes."""

    kind: Kind
    of: str | None = None
    ending: str = ".txt"
    recipe: int = 1


SOURCES = {
    "advbench-evaluation": Source("made", "advbench"),
    "advbench-attribution": Source("made", "advbench"),
    "safety-full": Source("verbatim", "safety-full", ".csv"),
    "safety-short": Source("verbatim", "safety-short", ".csv"),
    "utility": Source("wrapped", "utility", ".csv"),
    "alpaca-cleaned": Source("wrapped", "alpaca-cleaned", ".csv"),
    "benign-evaluation": Source("made", "utility"),
    "benign-attribution": Source("made", "utility"),
    "wikitext2-test": Source("made", "wikitext2-test"),
    "llama2-refusals": Source("wrapped", "safety-short", ".csv"),
    "self-instruct": Source("wrapped", "user-oriented-instructions", ".csv"),
    "self-instruct-requests": Source("made", "self-instruct-seeds"),
    "science-passages": Source("made", "sciq"),
    "sciq": Source("task", "sciq", ".yaml"),
    "commonsense-qa": Source("task", "commonsense-qa", ".yaml"),
    "calibration-full": Source("calibration", ending=".csv"),
    "calibration-short": Source("calibration", ending=".csv"),
    "supplied": Source("supplied"),
}
#: The files of a checkpoint in which its tokenizer's chat template may be.
_WITH_TEMPLATE = ("chat_template.jinja", "tokenizer_config.json")
#: The files of `harness calibration build` by the source that they are.
CALIBRATION_FILES = {"calibration-full": "safety_full.csv", "calibration-short": "safety_short.csv"}


def source_of(declared: DatasetFile) -> Source:
    """The source that a data set names. Raises UserError with a suggestion if there is none."""
    name = declared.source or ""
    if name not in SOURCES:
        raise UserError(f"no source of data is called {name!r}; {plugins.suggestion(name, SOURCES)}")
    return SOURCES[name]


def place_of(variant: ModelVariant, variant_file: Path, dataset: str) -> str:
    """Where in the cache the file of a data set with a `source` is, relative to the folder."""
    declared = variant.datasets[dataset]
    source = source_of(declared)
    if source.kind == "verbatim" or _as_published(variant, declared):
        return pinned_place(source.of or "")
    if source.kind == "calibration":
        return f"{calibration_place(variant)}/{CALIBRATION_FILES[declared.source or '']}"
    if source.kind == "supplied":
        return f"supplied/{variant.name}/{dataset}{source.ending}"
    if source.kind == "task":
        return f"tasks/{declared.source}{source.ending}"
    wrapped = f".{_wrapping(variant, variant_file, declared)}" if source.kind == "wrapped" else ""
    return f"made/{declared.source}{wrapped}{source.ending}"


def items_place(task: str) -> str:
    """Where the items of a task are, whose YAML file is at a place in the cache."""
    return str(PurePosixPath(task).with_suffix(".jsonl"))


def _as_published(variant: ModelVariant, declared: DatasetFile) -> bool:
    """The authors' utility pairs are wrapped for Llama 2 without system prompt: for such a variant they stay as is."""
    return declared.source == "utility" and variant.chat_template == "llama-2" and not declared.system_prompt


def pinned_place(name: str) -> str:
    """Where in the cache a pinned file is."""
    return f"pinned/{name}{pinned_file(name).ending}"


def pinned_file(name: str) -> PinnedFile:
    """A pinned file by name. Raises UserError with a suggestion if there is none."""
    files = pinned_data().files
    if name not in files:
        raise UserError(f"no pinned file is called {name!r}; {plugins.suggestion(name, files)}")
    return files[name]


def gguf_sha256(source: GGUFSource) -> str:
    """The hash of the file, declared or pinned. Raises UserError for a name that is not pinned."""
    return source.sha256 or pinned_file(source.pinned or "").sha256 or ""


def base_of(recipe: AlignmentRecipe) -> tuple[ModelVariant, Path]:
    """The variant that a recipe begins with, and its file. Raises UserError where there is none."""
    path = locations.find_variant(recipe.base)
    return load_yaml_model(path, ModelVariant), path


def tokenizer_variant(variant: ModelVariant, variant_file: Path) -> tuple[ModelVariant, Path]:
    """The variant whose tokenizer a variant has: an aligned one has that of the model which its recipe begins with."""
    if variant.source.recipe is None:
        return variant, variant_file
    return base_of(alignment.recipe(variant.source.recipe))


def calibration_place(variant: ModelVariant) -> str:
    """The folder in the cache for what `harness calibration build` writes."""
    return f"calibration/{variant.name}"


def expected_pinned(name: str) -> LockedFile | None:
    """What a pinned file has to hold: its published hash, or else that of its first download; None before that.

    Raises UserError where lock.json holds another hash than the published one.
    """
    place, published = pinned_place(name), pinned_file(name).sha256
    locked = read_lock().files.get(place)
    if published is None or locked is None or locked.sha256 == published:
        return locked
    raise UserError(
        f"{data_folder() / 'lock.json'}: {place} has SHA-256 {locked.sha256}, expected {published}, which "
        "was published; the data are not those: take the entry out and fetch again"
    )


def source_file(variant: ModelVariant, variant_file: Path, dataset: str) -> Path:
    """The checked file of a data set with a `source`.

    Raises UserError with the command to give where it is missing, cut off, changed, or made of other data.
    """
    place, source = place_of(variant, variant_file, dataset), source_of(variant.datasets[dataset])
    next_step = how_to_get(variant, variant_file, dataset)
    if source.of is not None and place == pinned_place(source.of):
        locked = expected_pinned(source.of)
    else:
        locked = read_lock().files.get(place)
        if locked is not None and source.of is not None and not _is_current(locked, source):
            raise UserError(f"{data_folder() / place}: was made of other data, or by another version; {next_step}")
    if locked is None:
        raise UserError(f"{data_folder() / place}: is not there; {next_step}")
    if source.kind == "task":
        items = read_lock().files.get(items_place(place))
        if items is None or not _is_current(items, source):
            raise UserError(f"{data_folder() / items_place(place)}: nothing says what it has to hold; {next_step}")
        checked_file(items_place(place), items, next_step)
    return checked_file(place, locked, next_step)


def _is_current(locked: LockedFile, source: Source) -> bool:
    """Whether a made file is by the recipe, and of the data, that are in force."""
    expected = expected_pinned(source.of or "")
    return locked.recipe == source.recipe and expected is not None and locked.of == expected.sha256


def how_to_get(variant: ModelVariant, variant_file: Path, dataset: str) -> str:
    """The command that brings the file of a data set."""
    model = shown_model(variant, variant_file)
    kind = source_of(variant.datasets[dataset]).kind
    if kind == "supplied":
        return f"it is yours to supply, one a line: harness data supply --model {model} {dataset} FILE"
    if kind == "calibration":
        return f"make it with the model itself: harness calibration build --model {model}"
    return f"get it with: harness data fetch --model {model}"


def shown_model(variant: ModelVariant, variant_file: Path) -> str:
    """What --model takes for this variant."""
    shipped = {real(path) for path in locations.variant_paths()}
    return variant.name if real(variant_file) in shipped else str(variant_file)


def _wrapping(variant: ModelVariant, variant_file: Path, declared: DatasetFile) -> str:
    """Template and system prompt in the name of a file, so that models share one only where it is the same.

    The template that a tokenizer brings is known by the model and its revision; in a folder, whose files may change, by
    what they hold.
    """
    template = variant.chat_template
    if template == OWN_TEMPLATE:
        template = "-".join(filter(None, (OWN_TEMPLATE, variant.name, _revision(variant, variant_file)[:8])))
    if not declared.system_prompt:
        return template
    return f"{template}-system-{hashlib.sha256(variant.system_prompt.encode()).hexdigest()[:8]}"


def _revision(variant: ModelVariant, variant_file: Path) -> str:
    """What the tokenizer's template changes with; nothing for an organism, which ships."""
    source = tokenizer_variant(variant, variant_file)[0].source
    if source.path is None:
        return source.revision or (gguf_sha256(source.gguf) if source.gguf else "")
    files = [variant_file.parent / source.path / name for name in _WITH_TEMPLATE]
    return hashlib.sha256("".join(file_sha256(path) for path in files if path.is_file()).encode()).hexdigest()


def is_wrapped(variant: ModelVariant, dataset: str) -> bool:
    """Whether a data set's prompts are written in the variant's template when it is fetched."""
    return source_of(variant.datasets[dataset]).kind == "wrapped"
