"""Tasks as lm-eval asks them: its own, at a pinned revision of their data, and those of a variant's files.

Whatever lm-eval renders, it renders by harness/sandbox.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.calibration.files import task_data_files
from harness.data.cache import read_lock
from harness.errors import UserError
from harness.plugins import suggestion
from harness.sandbox.environments import task_environment
from harness.sandbox.rendering import render
from harness.spec.loading import load_yaml_model
from harness.spec.pinned import pinned_data
from harness.spec.zero_shot_task import ZeroShotTask

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

#: What the names of the types of plain values begin with in `datasets`.
_PLAIN = ("string", "large_string", "bool", "int", "uint", "float", "null")


@functools.cache
def task_manager(include_defaults: bool) -> TaskManager:
    """lm-eval's index of tasks; with its own thousands of them, reading it takes seconds."""
    from lm_eval import utils
    from lm_eval.tasks import TaskManager

    utils.apply_template = _rendered
    utils.env = task_environment()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return TaskManager(include_defaults=include_defaults)


def _rendered(template: str, doc: dict[str, Any]) -> str:
    """In the place of lm-eval's function, whose environment is no sandbox."""
    return render("task", template, doc)


def local_task(path: Path) -> Task:
    """The task of a YAML file, its data files taken relative to the file.

    Raises UserError for a file that says more than a task may, and for data that are no plain values.
    """
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    declared = load_yaml_model(path, ZeroShotTask)
    files = {split: str(file.resolve()) for split, file in task_data_files(path).items()}
    try:
        items = _items(declared.dataset_path, files)
    except (DatasetGenerationError, OSError, StopIteration, ValueError) as error:
        words = _first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise UserError(f"{path}: its items cannot be read as {declared.dataset_path}: {words}") from None
    for split, found in items.items():
        if not isinstance(found, Dataset) or not found.num_rows:
            raise UserError(f"{files[split]}: holds no item; {path} names it as the split {split!r}")
        _refuse_others(found.features, files[split])
    config = declared.model_dump(exclude_unset=True) | {"dataset_kwargs": {}, "custom_dataset": lambda **_: items}
    try:
        loaded = task_manager(include_defaults=False).load([config])
    except (LookupError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError, AssertionError) as error:
        raise UserError(f"{path}: lm-eval cannot ask it: {type(error).__name__}: {_first_line(error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return next(iter(loaded["tasks"].values()))


def _items(form: str, files: dict[str, str]) -> Any:
    """The items by split. JSON, CSV and Parquet are read by pyarrow and pandas, and run nothing."""
    from datasets import disable_progress_bars, load_dataset
    from datasets.utils.extract import Extractor

    for file in files.values():
        if (packed := Extractor.infer_extractor_format(file)) is not None:
            raise UserError(f"{file}: is packed ({packed}); expected {form}, unpacked")
    disable_progress_bars()
    return load_dataset(form, data_files=files)


def _refuse_others(feature: Any, file: str) -> None:
    """Raise UserError for what is more than text, numbers, booleans, and lists and mappings of them.

    A Parquet file can declare its columns to be pictures or sounds, which are then opened from where it says.
    """
    from datasets import LargeList, List, Value

    if isinstance(feature, dict):
        for each in feature.values():
            _refuse_others(each, file)
    elif isinstance(feature, List | LargeList):
        _refuse_others(feature.feature, file)
    elif not isinstance(feature, Value) or not feature.dtype.startswith(_PLAIN):
        raise UserError(
            f"{file}: a column is {getattr(feature, 'dtype', type(feature).__name__)}; expected text, numbers, "
            "booleans, and lists and mappings of them"
        )


def hub_task(name: str) -> Task:
    """A task of lm-eval's own, its data at the pinned revision where there is one, downloaded if they may be.

    Raises UserError for a name that lm-eval does not know, and where the data cannot be had.
    """
    from httpx import HTTPError

    manager = task_manager(include_defaults=True)
    if name not in manager.all_subtasks:
        raise UserError(f"lm-eval has no task {name!r}; {suggestion(name, manager.all_subtasks)}")
    pinned = pinned_data().tasks.get(name)
    overrides = {"dataset_kwargs": {"revision": pinned.revision}} if pinned else {}
    try:
        # Only the members of a group are registered tasks with some of their keys replaced.
        loaded = manager.load([{"group": "pinned", "task": [{"task": name, **overrides}]}])
    except (OSError, ValueError, HTTPError) as error:
        raise UserError(f"the data of lm-eval's task {name!r} cannot be loaded: {_first_line(error)}") from None
    return next(iter(loaded["tasks"].values()))


def refuse_other_items(name: str, task: Task) -> None:
    """Raise UserError unless a task's items are those that `harness data fetch` found."""
    locked = read_lock().tasks.get(name)
    if locked is None:
        raise UserError(not_fetched(name))
    if (found := items_sha256(task)) != locked.sha256:
        raise UserError(
            f"the items of lm-eval's task {name!r} have changed: their SHA-256 is {found}, when they were "
            f"fetched it was {locked.sha256}; expected the same. The Hugging Face cache was changed, or "
            "lm-eval reads them otherwise: harness data fetch takes them as they are now"
        )


def not_fetched(name: str) -> str:
    """That a task's data were never fetched, in words."""
    return f"the data of lm-eval's task {name!r} are not there"


def items_sha256(task: Task) -> str:
    """SHA-256 over all items of a task as lm-eval asks them, whatever the limit."""
    digest = hashlib.sha256()
    for item in task.eval_docs:
        digest.update(json.dumps(dict(item), sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
