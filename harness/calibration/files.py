"""Data files of a variant: found, read and checked against their hashes before any weight is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from harness.data.cache import file_sha256
from harness.data.sources import source_file
from harness.errors import UserError
from harness.models.loading import source_directory
from harness.plugins import suggestion
from harness.reading import LARGEST, lines_of, read_unmarked
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.spec.zero_shot_task import ZeroShotTask


def dataset_path(variant: ModelVariant, variant_file: Path, name: str) -> Path:
    """The file behind a dataset name. Raises UserError if there is none, it cannot be read, or its hash differs."""
    if name not in variant.datasets:
        raise UserError(
            f"the variant {variant.name} has no dataset {name!r}; {suggestion(name, variant.datasets)}. "
            f"Name its file under `datasets:` in {variant_file}"
        )
    declared = variant.datasets[name]
    if declared.path is None:
        return source_file(variant, variant_file, name)
    base = source_directory(variant, variant_file) if variant.source.organism else None
    path = Path(os.path.normpath((base or variant_file.parent) / declared.path))
    if not path.is_file():
        raise UserError(f"{path}: no such file; {variant_file} names it as the dataset {name!r}")
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise UserError(f"{path}: the dataset {name!r} has {size} bytes; expected at most {LARGEST}")
        found = file_sha256(path)
    except OSError as error:
        raise UserError(f"{path}: the dataset {name!r} cannot be read: {error.strerror}") from None
    if declared.sha256 is not None and found != declared.sha256:
        raise UserError(
            f"{path}: the dataset {name!r} has changed: "
            f"its SHA-256 is {found}, {variant_file} expects {declared.sha256}"
        )
    return path


def task_data_files(task: Path) -> dict[str, Path]:
    """The data files that the YAML file of a zero-shot task names under dataset_kwargs.data_files, by split.

    Paths are relative to the YAML file. Raises UserError for a file that is no task, and for data that are not there.
    """
    named = load_yaml_model(task, ZeroShotTask).dataset_kwargs.data_files
    files = {split: task.parent / name for split, name in named.items()}
    for split, path in files.items():
        if not path.is_file():
            raise UserError(f"{path}: no such file; {task} names it as the split {split!r}")
    return files


def read_lines(path: Path) -> list[str]:
    """Non-empty lines of a UTF-8 text file, stripped. Raises UserError for none."""
    lines = lines_of(read_unmarked(path))
    if not lines:
        raise UserError(f"{path}: holds no line")
    return lines
