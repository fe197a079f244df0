"""Weights that are made once, of a pinned file or by a recipe, and where in the cache they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.data.cache import LockedFile, checked_file, data_folder, read_lock, record
from harness.data.sources import base_of, gguf_sha256, pinned_file, pinned_place
from harness.errors import UserError
from harness.reading import real
from harness.spec import alignment
from harness.spec.alignment import AlignmentRecipe
from harness.spec.variant import GGUFSource, ModelSource, ModelVariant

#: Raised where conversion gives other files.
CONVERSION = 1
#: Raised where a recipe gives other weights.
ALIGNMENT = 1
#: The pinned files that every recipe reads.
ALIGNMENT_DATA = ("advbench", "safety-short", "user-oriented-instructions", "self-instruct-seeds")


def gguf_path(source: GGUFSource, variant_file: Path) -> Path:
    """Where the file is, or will be once it was fetched. Raises UserError for a name that is not pinned."""
    if source.path is not None:
        return real(variant_file.parent / source.path)
    return data_folder() / pinned_place(source.pinned or "")


def converted_folder(source: GGUFSource) -> Path:
    """Where the checkpoint is that is made of a file: by the file's hash. Raises UserError for an unknown name."""
    return data_folder() / "converted" / f"{gguf_sha256(source)}-{CONVERSION}"


def recipe_sha256(recipe: AlignmentRecipe) -> str:
    """Over all that decides what a recipe gives: its settings, the files that it reads, and what it begins with."""
    base = base_of(recipe)[0].source
    fields = {
        "version": ALIGNMENT,
        "recipe": recipe.model_dump(mode="json"),
        "data": {name: pinned_file(name).sha256 for name in ALIGNMENT_DATA},
        "base": gguf_sha256(base.gguf) if base.gguf else base.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def aligned_folder(name: str, recipe: AlignmentRecipe) -> Path:
    """Where the checkpoint is that a recipe gives: by its hash."""
    return data_folder() / "aligned" / f"{name}-{recipe_sha256(recipe)[:16]}"


def made_folder(source: ModelSource) -> Path | None:
    """Where weights are that are made here; None for others. Raises UserError for an unknown name."""
    if source.gguf is not None:
        return converted_folder(source.gguf)
    return aligned_folder(source.recipe, alignment.recipe(source.recipe)) if source.recipe is not None else None


def record_made(folder: Path, of: str) -> None:
    """Write into lock.json what every file of a checkpoint holds, once it was made. of: what it was made of."""
    for path in sorted(folder.iterdir()):
        record(path.relative_to(data_folder()).as_posix(), of=of)


def require_as_made(source: ModelSource, weights: bool) -> None:
    """Compare a checkpoint that was made here with lock.json, which lies outside of its folder. weights: those too.

    Raises UserError for files that are missing, others than were made, or more than those.
    """
    folder = made_folder(source)
    if folder is None:
        return
    known, of = _recorded(folder), "the GGUF file" if source.gguf else "the recipe's data"
    next_step = f"remove {folder}, and make it again: {_command(source)}"
    for path in sorted(folder.iterdir()):
        if path.relative_to(data_folder()).as_posix() not in known:
            raise UserError(f"{path}: nothing says that it was made of {of}; {next_step}")
    for name, held in known.items():
        if weights or not name.endswith(".safetensors"):
            checked_file(name, held, next_step)


def weights_problem(variant: ModelVariant) -> str | None:
    """Why a checkpoint that is made here is not there, with the next step; None where it is, and for other sources."""
    folder = made_folder(variant.source)
    if folder is None or ((folder / "config.json").is_file() and _recorded(folder)):
        return None
    of = "of the GGUF file" if variant.source.gguf else f"by the recipe {variant.source.recipe}"
    return f"the checkpoint is not made yet {of}; next: {_command(variant.source, f' --model {variant.name}')}"


def _recorded(folder: Path) -> dict[str, LockedFile]:
    place = folder.relative_to(data_folder()).as_posix()
    return {name: held for name, held in read_lock().files.items() if name.startswith(f"{place}/")}


def _command(source: ModelSource, model: str = "") -> str:
    return f"harness organism build {source.recipe}" if source.recipe else f"harness data fetch{model} --only weights"
