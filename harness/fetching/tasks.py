"""The data of lm-eval's own tasks: fetched into the Hugging Face cache, their items recorded in lock.json."""

from __future__ import annotations

from pathlib import Path

from harness.data.cache import LockedTask, read_lock, record_task
from harness.data.lm_eval_tasks import hub_task, items_sha256, not_fetched
from harness.data.sources import shown_model
from harness.errors import UserError
from harness.fetching.downloads import refuse_offline
from harness.spec.pinned import pinned_data
from harness.spec.variant import ModelVariant


def fetch_task(name: str) -> None:
    """Load a task's data, from the hub if they are not in the cache, and record its items and version.

    Raises UserError where they cannot be had.
    """
    try:
        task = hub_task(name)
    except UserError:
        refuse_offline()
        raise
    pinned = pinned_data().tasks.get(name)
    record_task(
        name,
        LockedTask(
            sha256=items_sha256(task),
            items=len(task.eval_docs),
            version=str(task.VERSION),
            revision=pinned.revision if pinned else None,
        ),
    )


def task_problem(name: str, variant: ModelVariant, variant_file: Path) -> str | None:
    """Why a task cannot be asked, or None. Looks at lock.json alone, since lm-eval takes seconds to start."""
    locked, pinned = read_lock().tasks.get(name), pinned_data().tasks.get(name)
    if locked is not None and (pinned is None or locked.revision == pinned.revision):
        return None
    words = not_fetched(name) if locked is None else f"the data of lm-eval's task {name!r} are of another revision"
    return f"{words}; get them with: harness data fetch --model {shown_model(variant, variant_file)}"
