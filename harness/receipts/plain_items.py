"""Items of a task, read from its file by other means than lm-eval's: what is asked, and which answer is right."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness.calibration.files import task_data_files
from harness.reading import parsed_json
from harness.receipts.plain_text import plain_text
from harness.spec.loading import load_yaml_model
from harness.spec.zero_shot_task import ZeroShotTask

#: A column in a template, and what no plain text is: another expression, a statement, a comment.
_COLUMN, _TEMPLATE = re.compile(r"\{\{ *(\w+) *\}\}"), re.compile(r"\{[{%#]")


@dataclass(frozen=True)
class PlainItem:
    """choices: as texts. right: numbers of the right ones. asked: the whole texts, one for each choice, if known."""

    choices: tuple[str, ...]
    right: frozenset[int]
    asked: tuple[tuple[str, str], ...] | None


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
    found = [_item(row, declared) for row in rows]
    return None if None in found else tuple(each for each in found if each is not None)


def _item(row: Any, declared: ZeroShotTask) -> PlainItem | None:
    choices, target = row.get(declared.doc_to_choice), row.get(declared.doc_to_target)
    if not isinstance(choices, list) or isinstance(target, bool) or not isinstance(target, int | str):
        return None
    if isinstance(target, str) and target not in choices:
        return None
    right = choices.index(target) if isinstance(target, str) else target
    texts = tuple(map(str, choices))
    return PlainItem(texts, frozenset({right}), asked(_question(row, declared.doc_to_text), texts, declared))


def _question(row: Any, said: Any) -> Any:
    """A column, or a template in which columns of text stand and nothing else; None for any other."""
    if said in row:
        return row[said]
    if not isinstance(said, str) or _TEMPLATE.search(_COLUMN.sub("", said)) or said.endswith("\n"):
        return None
    named = _COLUMN.findall(said)
    if not all(isinstance(row.get(name), str) for name in named):
        return None
    return _COLUMN.sub(lambda found: str(row[found[1]]), said)


def asked(question: Any, choices: Sequence[Any], settings: Any) -> tuple[tuple[str, str], ...] | None:
    """Question, and delimiter with answer, of each choice, as lm-eval asks without examples.

    settings: description, gen_prefix and target_delimiter of a task. None where more than these stands in a prompt, and
    where the choices are questions.
    """
    if settings.description or settings.gen_prefix or not isinstance(question, str) or not question.strip():
        return None
    return tuple((question, f"{settings.target_delimiter}{choice}") for choice in choices)


@functools.lru_cache(maxsize=200_000)
def pair_ids(
    tokenizer: PreTrainedTokenizerBase, opening: tuple[int, ...], question: str, answer: str
) -> tuple[tuple[int, ...], int]:
    """Ids of a question and an answer, tokenised as one text, and the place of the answer's first.

    White space that a question ends with belongs to its answer, as in lm-eval. Every cell asks the same.
    """
    context = question.rstrip()
    whole, before = (_ids(tokenizer, opening, text) for text in (question + answer, context))
    return whole, len(before)


def _ids(tokenizer: PreTrainedTokenizerBase, opening: tuple[int, ...], text: str) -> tuple[int, ...]:
    ids = tuple(tokenizer.encode(text, add_special_tokens=False))
    return ids if opening and ids[: len(opening)] == opening else (*opening, *ids)
