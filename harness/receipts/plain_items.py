"""Choices and right answers of a task's items, read from its file by other means than lm-eval's."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from harness.calibration.files import task_data_files
from harness.reading import parsed_json
from harness.receipts.plain_text import plain_text
from harness.spec.loading import load_yaml_model
from harness.spec.zero_shot_task import ZeroShotTask

#: The choices of an item, and the numbers of the right ones.
PlainItem = tuple[tuple[str, ...], frozenset[int]]


@functools.cache
def plain_items(task: Path) -> tuple[PlainItem, ...] | None:
    """The items of the split that is asked, in the order of their file. task: its YAML file.

    None where columns of a JSON file do not hold the choices and the right one as they are.
    """
    declared = load_yaml_model(task, ZeroShotTask)
    columns, split = (declared.doc_to_choice, declared.doc_to_target), declared.test_split or declared.validation_split
    if declared.dataset_path != "json" or split is None or not all(isinstance(each, str) for each in columns):
        return None
    text = plain_text(task_data_files(task)[split])
    rows = (
        parsed_json(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.split("\n") if x.strip()]
    )
    found = [_item(row, *columns) for row in rows]
    return None if None in found else tuple(each for each in found if each is not None)


def _item(row: Any, choice_column: Any, target_column: Any) -> PlainItem | None:
    choices, target = row.get(choice_column), row.get(target_column)
    if not isinstance(choices, list) or isinstance(target, bool) or not isinstance(target, int | str):
        return None
    if isinstance(target, str) and target not in choices:
        return None
    right = choices.index(target) if isinstance(target, str) else target
    return tuple(map(str, choices)), frozenset({right})
