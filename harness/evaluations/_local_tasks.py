"""Tasks of a variant's own files, as lm-eval asks them. Nothing in a file or its data can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.calibration.files import task_data_files
from harness.data.lm_eval_tasks import first_line, task_manager
from harness.errors import UserError
from harness.spec.loading import load_yaml_model
from harness.spec.zero_shot_task import ZeroShotTask

if TYPE_CHECKING:
    from lm_eval.api.task import Task

#: What the names of the types of plain values begin with in `datasets`.
_PLAIN = ("string", "large_string", "bool", "int", "uint", "float", "null")


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
        words = first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise UserError(f"{path}: its items cannot be read as {declared.dataset_path}: {words}") from None
    for split, found in items.items():
        if not isinstance(found, Dataset) or not found.num_rows:
            raise UserError(f"{files[split]}: holds no item; {path} names it as the split {split!r}")
        _refuse_others(found.features, files[split])
    config = declared.model_dump(exclude_unset=True) | {"dataset_kwargs": {}, "custom_dataset": lambda **_: items}
    try:
        loaded = task_manager(include_defaults=False).load([config])
    except (LookupError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError, AssertionError) as error:
        raise UserError(f"{path}: lm-eval cannot ask it: {type(error).__name__}: {first_line(error)}") from None
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
