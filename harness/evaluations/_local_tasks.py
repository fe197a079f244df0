"""Tasks of a variant's own files, as lm-eval asks them. Nothing in a file or its data can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.calibration.files import task_data_files
from harness.data.lm_eval_tasks import first_line, task_manager
from harness.errors import UserError
from harness.evaluations._task_items import read_items
from harness.spec.loading import load_yaml_model
from harness.spec.zero_shot_task import ZeroShotTask

if TYPE_CHECKING:
    from lm_eval.api.task import Task


def local_task(path: Path) -> Task:
    """The task of a YAML file, its data files taken relative to the file.

    Raises UserError for a file that says more than a task may, and for data that are no plain values.
    """
    from datasets import DatasetDict

    declared = load_yaml_model(path, ZeroShotTask)
    items = DatasetDict(
        {split: read_items(declared.dataset_path, file) for split, file in task_data_files(path).items()}
    )
    config = declared.model_dump(exclude_unset=True) | {"dataset_kwargs": {}, "custom_dataset": lambda **_: items}
    try:
        loaded = task_manager(include_defaults=False).load([config])
    except (LookupError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError, AssertionError) as error:
        raise UserError(f"{path}: lm-eval cannot ask it: {type(error).__name__}: {first_line(error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return next(iter(loaded["tasks"].values()))
