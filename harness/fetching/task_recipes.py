"""Zero-shot tasks from multiple-choice questions in T0's wording, as self-instruct keeps them.

They are asked as lm-eval asks such tasks: the likeliest of the choices' texts behind "Answer:" counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.calibration.files import read_lines
from harness.errors import UserError

_SCIQ = re.compile(
    r"Answer the following question given this paragraph: \n\n(?P<passage>.*?)\n\n\nQ: (?P<question>.*?)\n\n "
    r"Choices:\n\n(?P<choices>.*?)\n\nA:\n",
    re.DOTALL,
)
_COMMONSENSE_QA = re.compile(r".*?:\n(?P<question>.*?)\nOptions:\n(?P<choices>.*?)\n", re.DOTALL)
_END = "<|endoftext|>"
#: By source, the share of answers that a guess gets right.
_CHANCE = {"sciq": 0.25, "commonsense-qa": 0.2}


def sciq(path: Path) -> str:
    """JSON lines of SciQ's questions, each behind the passage that it was written for."""
    return _items(path, _SCIQ)


def commonsense_qa(path: Path) -> str:
    """JSON lines of CommonsenseQA's questions."""
    return _items(path, _COMMONSENSE_QA)


def passages(path: Path) -> str:
    """The passages of SciQ's questions, joined by empty lines: plain English prose, each passage once."""
    return "\n\n".join(dict.fromkeys(each.passage for each in _questions(path, _SCIQ) if each.passage))


def task_file(name: str, items: str) -> str:
    """The YAML file of a task for lm-eval. items: the file beside it."""
    return yaml.safe_dump(
        {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": items}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "query",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 1.0, "chance": _CHANCE[name]},
        },
        sort_keys=False,
    )


@dataclass(frozen=True)
class _Question:
    passage: str
    question: str
    choices: list[str]
    answer: str


def _questions(path: Path, wording: re.Pattern[str]) -> Iterator[_Question]:
    """Each question. Raises UserError for a line that is none."""
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = json.loads(line)
            found, answer = wording.fullmatch(row["prompt"]), row["completion"].removesuffix(_END).strip()
        except (ValueError, KeyError, TypeError, AttributeError):
            found, answer = None, ""
        if found is None or not answer:
            raise UserError(f"{path}:{number}: not a multiple-choice question in the wording that T0 gives it")
        parts = found.groupdict()
        choices = [part.removeprefix("- ").strip() for part in parts["choices"].split("\n") if part]
        yield _Question(parts.get("passage", "").strip(), parts["question"].strip(), choices, answer)


def _items(path: Path, wording: re.Pattern[str]) -> str:
    """JSON lines of the questions that can be asked: some in these files have no right choice, or have it twice."""
    asked = [each for each in _questions(path, wording) if each.choices.count(each.answer) == 1]
    return "".join(json.dumps(_item(each), ensure_ascii=False) + "\n" for each in asked)


def _item(asked: _Question) -> dict[str, Any]:
    passage = f"{asked.passage}\n" if asked.passage else ""
    return {
        "query": f"{passage}Question: {asked.question}\nAnswer:",
        "choices": asked.choices,
        "gold": asked.choices.index(asked.answer),
    }
