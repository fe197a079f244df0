"""Zero-shot accuracy through lm-eval, on the model in memory."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.errors import UserError
from harness.evaluations import base
from harness.evaluations.base import (
    EvaluationContext,
    EvaluationResult,
    Scoring,
    Sizes,
    Unloaded,
    finite,
    measurement_of,
)
from harness.formulas.statistics import mean_of_estimates, proportion
from harness.formulas.work import Work
from harness.spec.common import Name
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.measurement import Measurement, RawValues
from harness.spec.receipt import StageReceipt
from harness.spec.sizes import Sizes as DeclaredSizes

if TYPE_CHECKING:
    from lm_eval.api.task import Task

    from harness.engines.base import Scorer
    from harness.models.prompts import PromptFormatter
    from harness.receipts.observed_engine import Observed
    from harness.spec.variant import ModelVariant


#: Of an item: each is a text that the model scores. Those of published tasks have up to 26.
MOST_CHOICES = 1_000


class Settings(DeclaredEvaluation):
    """Tasks are the variant's own (`zero_shot_tasks`): lm-eval names, or YAML files with local data.

    limit: at most so many items of each task, the first ones, as in the published code.
    """

    asks_tasks: ClassVar[bool] = True

    kind: Literal["zero_shot"]
    name: Name = "accuracy"
    limit: int | None = Field(default=None, gt=0)

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that every variant gives; one for each task comes on top."""
        return [f"{self.name}_mean", f"{self.name}_chance"]

    def sizes_within(self, sizes: DeclaredSizes) -> dict[str, int | None]:
        """Of the items of each task."""
        return {"limit": sizes.items}

    @property
    def metric_prefixes(self) -> list[str]:
        """What the names of the metrics of single tasks begin with."""
        return [f"{self.name}_"]

    def task_metric(self, task: str) -> str | None:
        """Accuracy on one task."""
        return f"{self.name}_{task}"

    @property
    def metrics_over_tasks(self) -> list[str]:
        """Mean and chance are those of all tasks."""
        return self.metrics


class Evaluation(base.Evaluation[Settings]):
    """The variant's tasks, asked by lm-eval."""

    scores_prompts = True

    def read_data(self, variant: ModelVariant, path_of: Callable[[str], Path]) -> None:
        """The items of every task, in the variant's files and in the Hugging Face cache."""
        tasks_with_data(task_places(variant, path_of))

    def check_tokens(self, unloaded: Unloaded) -> None:
        """Every item can be asked, and none of them with an answer is longer than the model's context."""
        from harness.engines.base import NotedRequests

        for place in task_places(unloaded.variant, unloaded.path_of):
            noted = NotedRequests()
            self._ask(place, noted, unloaded.formatter)
            longest = max((len(request.token_ids) for request in noted.requests), default=0)
            if longest > unloaded.context_tokens:
                raise UserError(
                    f"{place}: an item with its answer has {longest} tokens; expected at most "
                    f"{unloaded.context_tokens}, the model's context: leave out the task, or ask fewer items "
                    f"(`limit` of {self.settings.name})"
                )

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """Accuracy (lm-eval's `acc`, not normalised) of each task, their mean, and the accuracy of chance.

        Invalid where a log-likelihood is not finite: the largest of them would be an accident.
        """
        from lm_eval.evaluator import evaluate as evaluate_tasks

        from harness.evaluations._engine_language_model import EngineLanguageModel

        settings = self.settings
        # Not simple_evaluate: it asks pip and the drivers about this machine in every cell, and sets global seeds.
        tasks = {str(task.task_name): task for task in tasks_with_data(task_places(context.variant, context.path_of))}
        results = evaluate_tasks(
            EngineLanguageModel(context.engine, context.formatter),
            {"tasks": tasks},
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
        rows = [row for task, samples in results["samples"].items() for row in self._rows(tasks[task], samples)]
        return EvaluationResult(measurements=tuple(figures), task_hashes=hashes, raw=tuple(rows))

    def _rows(self, task: Task, samples: Sequence[dict[str, Any]]) -> Iterator[RawValues]:
        """Of every item, the likelihoods of its choices, and which of them are right. Written second, and apart."""
        for sample in samples:
            choices = task.doc_to_choice(sample["doc"])
            yield RawValues(
                evaluation=self.settings.name,
                part=str(task.task_name),
                index=sample["doc_id"],
                values=finite([likelihood for likelihood, _ in sample["filtered_resps"]][: len(choices)]),
                right=tuple(
                    choices.index(each) if isinstance(each, str) else int(each)
                    for each in _right_answers(task, sample["doc"])
                ),
            )

    def receipts(
        self, context: EvaluationContext, observed: Observed, measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """The items that reached the engine, and the share of likeliest answers that are right."""
        from harness.receipts import counts, figures
        from harness.receipts.plain_items import plain_items

        settings, places = self.settings, task_places(context.variant, context.path_of)
        tasks = tasks_with_data(places)
        expected = counts.expected_items(tasks, settings.limit)
        as_asked = counts.zero_shot_items(settings.name, expected, measurements, observed, settings.limit)
        if not as_asked.holds:  # answers cannot be told apart
            return [as_asked]
        items = figures.scored_items(tasks, settings.limit, observed)
        read = {
            str(task.task_name): plain_items(place)
            for task, place in zip(tasks, places, strict=True)
            if isinstance(place, Path)
        }
        plain = {task: own for task, own in read.items() if own is not None}
        return [
            as_asked,
            figures.zero_shot_accuracy(settings.name, list(items), measurements, context.formatter, plain),
        ]

    def work(self, sizes: Sizes, scoring: Scoring) -> Work:
        """All answers with their contexts."""
        tasks = sizes.variant.zero_shot_tasks
        return Work(scored_tokens=sum(sizes.task(task, self.settings.limit, self._ask) for task in tasks))

    def _ask(self, task: Path | str, engine: Scorer, formatter: PromptFormatter) -> None:
        """What lm-eval asks of an engine for a task."""
        from harness.evaluations._engine_language_model import EngineLanguageModel

        (loaded,) = tasks_with_data([task])
        _refuse_unfit_items(task, loaded, self.settings.limit)
        loaded.build_all_requests(limit=self.settings.limit, rank=0, world_size=1)
        EngineLanguageModel(engine, formatter).loglikelihood(loaded.instances)


def _refuse_unfit_items(place: Path | str, task: Task, limit: int | None) -> None:
    """Raise UserError for an item without choices, with more than a task has, or whose right answer is none of them."""
    for number, (_, item) in enumerate(task.doc_iterator(limit=limit), start=1):
        choices = task.doc_to_choice(item)
        if not isinstance(choices, list | tuple) or not 1 <= len(choices) <= MOST_CHOICES:
            held = f"{len(choices)} choices" if isinstance(choices, list | tuple) else f"{choices!r:.80} as its choices"
            raise UserError(f"{place}: item {number} has {held}; expected at most {MOST_CHOICES}, and at least one")
        for right in _right_answers(task, item):
            among = right in choices if isinstance(right, str) else type(right) is int and 0 <= right < len(choices)
            if not among:
                raise UserError(
                    f"{place}: the right answer of item {number} is {right!r:.80}; expected one of its "
                    f"{len(choices)} choices, or the place of one, counted from 0"
                )


def _right_answers(task: Task, item: Any) -> list[Any]:
    """The right choices of an item, each as its text or its place."""
    question = task.doc_to_text(item)
    right = question if isinstance(question, int) else task.doc_to_target(item)
    return right if isinstance(right, list) else [right]


def _hash_of(samples: Sequence[dict[str, Any]]) -> str:
    """SHA-256 over documents, prompts and targets, as lm-eval's own tracker forms a task's hash."""
    from lm_eval.utils import hash_string

    return hash_string("".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in samples))


def task_places(variant: ModelVariant, path_of: Callable[[str], Path]) -> list[Path | str]:
    """The variant's tasks: YAML files as checked paths, others as names that lm-eval knows."""
    tasks = variant.zero_shot_tasks
    if not tasks:
        raise UserError(f"the variant {variant.name} lists no zero_shot_tasks")
    return [path_of(task) if task in variant.datasets else task for task in tasks]


def tasks_with_data(places: Sequence[Path | str]) -> list[Task]:
    """The tasks, each loaded once for all cells.

    Raises UserError for a task of lm-eval whose items are not there, or are others than those that were fetched.
    """
    return [_load_task(place) for place in places]


@functools.cache
def _load_task(place: Path | str) -> Task:
    """A task with its data and without examples in its prompts, loaded once for all cells."""
    from harness.data.lm_eval_tasks import hub_task, refuse_other_items, refuse_other_kinds
    from harness.evaluations._local_tasks import local_task

    if isinstance(place, Path):
        task = local_task(place)
    else:
        task = hub_task(place)
        refuse_other_kinds(place, task)
        refuse_other_items(place, task)
    task.set_config("num_fewshot", 0)
    return task
