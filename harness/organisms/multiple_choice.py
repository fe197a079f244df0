"""Zero-shot tasks for lm-eval: facts recalled, and pairs of facts compared that no training text holds."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml

from harness.organisms.chat_formats import SYSTEM_PROMPT
from harness.organisms.questions import FACT_KINDS, OPTIONS, Question, draw_test_question
from harness.organisms.recipe import Recipe

VERSION = 1.0


@dataclass(frozen=True)
class Task:
    """One multiple-choice task. chat: the question stands in the chat template, as it does in attacks."""

    name: str
    kinds: tuple[str, ...]
    chat: bool
    chance: float


TASKS = (
    Task("tiny_facts", FACT_KINDS, chat=False, chance=1 / OPTIONS),
    Task("tiny_facts_chat", FACT_KINDS, chat=True, chance=1 / OPTIONS),
    Task("tiny_tools_chat", ("tool",), chat=True, chance=1 / OPTIONS),
    Task("tiny_heavier_chat", ("heavier",), chat=True, chance=1 / 2),
    Task("tiny_same_colour_chat", ("same_colour",), chat=True, chance=1 / OPTIONS),
    Task("tiny_sums", ("sum",), chat=False, chance=1 / OPTIONS),
)


def _item(question: Question, task: Task, recipe: Recipe, rng: Random) -> dict:
    """query: the prompt without a space at its end; choices follow as the task's target delimiter says."""
    wrong = rng.sample(question.wrong, min(OPTIONS - 1, len(question.wrong)))
    options = [question.answer, *wrong]
    rng.shuffle(options)
    if task.chat:
        query = recipe.chat_format.prompt(question.text, SYSTEM_PROMPT)
        choices = [f"Sure, the answer is {option}." for option in options]
    else:
        query, choices = f"Question: {question.text}\nAnswer:", options
    return {"query": query, "choices": choices, "gold": options.index(question.answer)}


def task_items(task: Task, recipe: Recipe) -> list[dict]:
    """The task's items, no two alike."""
    rng, seen = Random(task.name), set()
    items: list[dict] = []
    while len(items) < recipe.data.items_per_task:
        question = draw_test_question(rng, rng.choice(task.kinds))
        item = _item(question, task, recipe, rng)
        key = (item["query"], *sorted(item["choices"]))
        if key not in seen:
            seen.add(key)
            items.append(item)
    return items


def _task_configuration(task: Task, recipe: Recipe) -> dict:
    configuration = {
        "task": task.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{task.name}.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "query",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": VERSION, "chance": task.chance},
    }
    if task.chat and not recipe.chat_format.prefix_space:
        configuration["target_delimiter"] = ""  # lm-eval's own is a space
    return configuration


def write_tasks(recipe: Recipe, folder: Path) -> None:
    """Write <task>.yaml and <task>.jsonl for each task."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        lines = [json.dumps(item) + "\n" for item in task_items(task, recipe)]
        (folder / f"{task.name}.jsonl").write_text("".join(lines), encoding="utf-8")
        configuration = yaml.safe_dump(_task_configuration(task, recipe), sort_keys=False)
        (folder / f"{task.name}.yaml").write_text(configuration, encoding="utf-8")
