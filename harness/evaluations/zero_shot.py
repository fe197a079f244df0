"""Zero-shot accuracy through lm-eval, on the model in memory."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field

from harness.errors import UserError
from harness.evaluations.base import EvaluationContext, EvaluationResult, measurement_of
from harness.formulas.statistics import mean_of_estimates, proportion
from harness.spec.common import Name, Strict
from harness.spec.result import Measurement

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager


class Settings(Strict):
    """Tasks are the variant's own (`zero_shot_tasks`): lm-eval names, or YAML files with local data.

    limit: at most so many items of each task, the first ones, as in the published code.
    """

    kind: Literal["zero_shot"]
    name: Name = "accuracy"
    limit: int | None = Field(default=None, gt=0)

    @property
    def datasets(self) -> list[str]:
        """Tasks bring their own data."""
        return []

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that every variant gives; one for each task comes on top."""
        return [f"{self.name}_mean", f"{self.name}_chance"]

    @property
    def metric_prefixes(self) -> list[str]:
        """What the names of the metrics of single tasks begin with."""
        return [f"{self.name}_"]


def evaluate(settings: Settings, context: EvaluationContext) -> EvaluationResult:
    """Accuracy (lm-eval's `acc`, not normalised) of each task, their mean, and the accuracy of chance.

    Invalid where a log-likelihood is not finite: the largest of them would be an accident.
    """
    import lm_eval

    from harness.evaluations._engine_language_model import EngineLanguageModel

    tasks = tasks_with_data(task_places(context))
    results = lm_eval.simple_evaluate(
        model=EngineLanguageModel(context.engine, context.formatter),
        tasks=list(tasks),
        num_fewshot=0,
        task_manager=_task_manager(include_defaults=False),
        limit=settings.limit,
        bootstrap_iters=0,
        log_samples=True,
    )
    if results is None:
        raise UserError("lm-eval gave no result")
    estimates, chances, hashes = {}, [], {}
    reason = None
    for task, samples in results["samples"].items():
        if not all(math.isfinite(likelihood) for sample in samples for likelihood, _ in sample["filtered_resps"]):
            reason = f"the model gives answers of {task} a log-likelihood that is not finite"
        estimates[task] = proportion(sum(int(sample["acc"]) for sample in samples), len(samples))
        chances.append(sum(1 / len(sample["arguments"]) for sample in samples) / len(samples))
        hashes[task] = f"version {results['versions'].get(task)}, {_hash_of(samples)}"
    figures = [measurement_of(f"{settings.name}_{task}", estimate, reason) for task, estimate in estimates.items()]
    mean = mean_of_estimates(list(estimates.values()))
    figures.append(measurement_of(f"{settings.name}_mean", mean, reason))
    figures.append(Measurement(metric=f"{settings.name}_chance", value=sum(chances) / len(chances), n=mean.n))
    return EvaluationResult(measurements=tuple(figures), task_hashes=hashes)


def _hash_of(samples: Sequence[dict[str, Any]]) -> str:
    """SHA-256 over documents, prompts and targets, as lm-eval's own tracker forms a task's hash."""
    from lm_eval.utils import hash_string

    return hash_string("".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in samples))


def task_places(context: EvaluationContext) -> list[Path | str]:
    """The variant's tasks: YAML files as checked paths, others as names that lm-eval knows."""
    tasks = context.variant.zero_shot_tasks
    if not tasks:
        raise UserError(f"the variant {context.variant.name} lists no zero_shot_tasks")
    return [context.path_of(task) if task in context.variant.datasets else task for task in tasks]


def tasks_with_data(places: Sequence[Path | str]) -> list[Task]:
    """The tasks, each loaded once for all cells."""
    return [_load_task(place) for place in places]


@functools.cache
def _task_manager(include_defaults: bool) -> TaskManager:
    """lm-eval's index of tasks; with its own thousands of them, reading it takes seconds."""
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return TaskManager(include_defaults=include_defaults)


@functools.cache
def _load_task(place: Path | str) -> Task:
    """A task with its data, loaded once for all cells."""
    local = isinstance(place, Path)
    loaded = _task_manager(include_defaults=not local).load([_local_task(place) if isinstance(place, Path) else place])
    return next(iter(loaded["tasks"].values()))


def _local_task(path: Path) -> dict[str, Any]:
    """The task of a YAML file, its data files taken relative to the file."""
    from harness.calibration.files import task_data_files

    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["dataset_kwargs"]["data_files"] = {split: str(file) for split, file in task_data_files(path).items()}
    return config
