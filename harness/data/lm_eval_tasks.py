"""lm-eval's own tasks, at a pinned revision of their data. Whatever lm-eval renders, it renders by harness/sandbox."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import plain_datasets
from harness.data.cache import read_lock
from harness.errors import UserError
from harness.plugins import suggestion
from harness.sandbox.environments import task_environment
from harness.sandbox.rendering import render
from harness.spec.pinned import pinned_data

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

#: A name that a YAML file of lm-eval gives to a task.
_TASK = re.compile(r"""(?:^|[\s{,-])['"]?task['"]?\s*:\s*(?:['"]([^'"\n]+)|([^\s'"#,\[{}]+))""", re.MULTILINE)


@functools.cache
def task_manager(include_defaults: bool) -> TaskManager:
    """lm-eval's index of tasks; with its own thousands of them, reading it takes seconds."""
    from lm_eval import utils
    from lm_eval.tasks import TaskManager

    plain_datasets.install()
    utils.apply_template = _rendered
    utils.env = task_environment()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return TaskManager(include_defaults=include_defaults)


def _rendered(template: str, doc: dict[str, Any]) -> str:
    """In the place of lm-eval's function, whose environment is no sandbox."""
    return render("task", template, doc)


@functools.cache
def task_names() -> frozenset[str]:
    """Names that lm-eval's own files give to tasks. They are searched, not read: its index takes ten times as long."""
    package = find_spec("lm_eval")
    places = package.submodule_search_locations or () if package is not None else ()
    names: set[str] = set()
    for place in places:
        for path in (Path(place) / "tasks").rglob("*.y*ml"):
            text = path.read_text(encoding="utf-8", errors="replace")
            names.update(quoted or plain for quoted, plain in _TASK.findall(text))
    return frozenset(names)


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
        raise UserError(f"the data of lm-eval's task {name!r} cannot be loaded: {first_line(error)}") from None
    except UserError as error:
        raise UserError(f"lm-eval's task {name!r} is not asked here: {error}") from None
    return next(iter(loaded["tasks"].values()))


def refuse_other_kinds(name: str, task: Task) -> None:
    """Raise UserError for a task that asks for anything but a choice among answers."""
    if task.OUTPUT_TYPE != "multiple_choice":
        raise UserError(f"lm-eval's task {name!r} asks for {task.OUTPUT_TYPE}; expected a task of multiple_choice")


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


def first_line(error: Exception) -> str:
    """What an error says first, or its name."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
