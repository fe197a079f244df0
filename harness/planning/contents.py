"""What in a model's folder could act, and how far it may: told by `harness doctor` before anything of it is used.

docs/strangers-folders.md says the same in general.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.calibration.files import dataset_path
from harness.errors import UserError
from harness.models.folder import Use, active_parts
from harness.models.loading import source_directory
from harness.planning.machine import Finding
from harness.reading import real
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.spec.zero_shot_task import ZeroShotTask

_ELSEWHERE = "is read from outside of the {}'s folder, and its lines get into records: {}"
_GOOD: dict[Use, bool | None] = {"bounded": None, "unused": None, "refused": False}


def of_variant(variant: ModelVariant, variant_file: Path) -> Iterator[Finding]:
    """The folder's active parts, the tasks, and what is read from elsewhere. Of what ships, nothing."""
    if variant.source.organism is not None:
        return
    folder = source_directory(variant, variant_file)
    if folder is None:
        yield Finding("contents", None, "safetensors, JSON and the tokenizer come from the hub; no code is run")
    elif folder.is_dir():
        yield from of_folder(folder)
    for task in variant.zero_shot_tasks:
        yield _task(variant, variant_file, task)
        yield from _items_elsewhere(variant, variant_file, task)
    for name, declared in variant.datasets.items():
        if declared.path is not None:
            path = real(variant_file.parent / declared.path)
            if not path.is_relative_to(real(variant_file.parent)):
                yield Finding(f"data {name}", None, _ELSEWHERE.format("variant", path))


def of_folder(folder: Path) -> Iterator[Finding]:
    """One finding for each active part."""
    for part in active_parts(folder):
        refused = part.use == "refused"
        yield Finding(f"active {part.file}", _GOOD[part.use], part.what, needed=refused)


def _task(variant: ModelVariant, variant_file: Path, task: str) -> Finding:
    subject = f"active task {task}"
    if task not in variant.datasets:
        return Finding(subject, None, "lm-eval's own, as it is installed; its items come from the hub")
    try:
        declared = load_yaml_model(dataset_path(variant, variant_file, task), ZeroShotTask)
    except UserError as error:
        return Finding(subject, False, f"refused: {error}", "take what is refused out of the file", needed=True)
    count = len(declared.templates)
    words = f"{count} template{'s' * (count != 1)}, rendered in the sandbox" if count else "no template, columns alone"
    return Finding(subject, None, words)


def _items_elsewhere(variant: ModelVariant, variant_file: Path, task: str) -> Iterator[Finding]:
    """The files of items that a task names and that do not lie in its folder or below, links followed."""
    if task not in variant.datasets:
        return
    try:
        file = dataset_path(variant, variant_file, task)
        named = load_yaml_model(file, ZeroShotTask).dataset_kwargs.data_files
    except UserError:
        return  # told by `_task`
    for split, name in named.items():
        path = real(file.parent / name)
        if not path.is_relative_to(real(file.parent)):
            yield Finding(f"items {task}/{split}", None, _ELSEWHERE.format("task", path))
