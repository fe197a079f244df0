"""Receipts of utility figures: accuracy and perplexity, computed a second time from what the engine gave."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from transformers import PreTrainedTokenizerBase

from harness.engines.base import ScoredTokens, ScoreRequest
from harness.models.prompts import PromptFormatter
from harness.receipts.observed_engine import Observed
from harness.receipts.plain_items import PlainItem, asked, pair_ids
from harness.spec.measurement import Measurement
from harness.spec.receipt import LookedAt, StageReceipt

#: Sums in another order.
ROUNDING = 1e-6
Answers = Sequence[tuple[ScoreRequest, ScoredTokens]]


@dataclass(frozen=True)
class ScoredItem:
    """One item of a task. answers: what the engine was sent and gave, one for each choice.

    asked: question, and delimiter with answer, of each choice, where nothing else stands in the prompt.
    """

    task: str
    question: Any
    choices: Sequence[str]
    gold: frozenset[int]
    answers: Answers
    asked: tuple[tuple[str, str], ...] | None

    @property
    def is_right(self) -> bool:
        """Whether the likeliest answer, not divided by its length, is the right one (lm-eval's `acc`)."""
        sums = [sum(scored.log_probabilities) for _, scored in self.answers]
        return sums.index(max(sums)) in self.gold


def scored_items(tasks: Sequence[Any], limit: int | None, observed: Observed) -> Iterator[ScoredItem]:
    """What passed to the engine, item by item. tasks: lm-eval's. A task with mutual information asks twice."""
    start = 0
    for task in tasks:
        twice = 2 if any("mutual_info" in str(metric) for metric in task.aggregation()) else 1
        for document in islice(task.eval_docs, limit):
            choices = task.doc_to_choice(document)
            question = task.doc_to_text(document)
            gold = question if isinstance(question, int) else task.doc_to_target(document)
            answers = observed.scored[start : start + len(choices)]
            start += twice * len(choices)
            texts = asked(question, choices, task.config)
            yield ScoredItem(str(task.config.task), question, choices, _indices(gold, choices), answers, texts)


def _indices(gold: Any, choices: Sequence[str]) -> frozenset[int]:
    right = gold if isinstance(gold, list) else [gold]
    return frozenset(choices.index(each) if isinstance(each, str) else int(each) for each in right)


def zero_shot_accuracy(
    name: str,
    items: Sequence[ScoredItem],
    measurements: Sequence[Measurement],
    formatter: PromptFormatter,
    plain: Mapping[str, Sequence[PlainItem]],
) -> StageReceipt:
    """Whether the engine was sent question and answer whole, and the accuracy is that of the likeliest answers.

    name: of the evaluation. formatter: its tokenizer and opening are used. plain: by task, the items of its file, where
    they can be read by other means. All items are looked at: token by token, or letter by letter where more than
    question and answer stands in a prompt.
    """
    by_task: dict[str, list[ScoredItem]] = {}
    for item in items:
        by_task.setdefault(item.task, []).append(item)
    expected = {task: sum(item.is_right for item in own) / len(own) for task, own in by_task.items()}
    figures = {f"{name}_{task}": value for task, value in expected.items()}
    if expected:
        figures[f"{name}_mean"] = sum(expected.values()) / len(expected)
    found = {measured.metric: measured.value for measured in measurements}
    unasked = {
        task: [place for place, item in enumerate(own) if not _asks(item, formatter)] for task, own in by_task.items()
    }
    problems = [
        f"{len(places)} of {len(by_task[task])} items of {task} were sent without their question or answer whole, "
        f"first number {places[0] + 1}"
        for task, places in unasked.items()
        if places
    ]
    problems += _other_answers(by_task, plain)
    problems += _off(figures, found, "where the engine's likelihoods give")
    known = sum(len(own) for task, own in by_task.items() if task in plain)
    return StageReceipt(
        stage="scorer",
        name="zero-shot-accuracy",
        holds=not problems,
        expected="accuracy as the share of items whose likeliest answer is the right one, likelihoods not divided by "
        "the length of the answer (lm-eval's acc)",
        seen="; ".join(problems[:3]) or "that",
        advice="look at which of lm-eval's figures is read, and at what is sent to the engine",
        evidence={"figures": len(figures), "wrong": len(problems)},
        looked_at=(
            LookedAt(what="items", seen=len(items), of=len(items)),
            LookedAt(what="right answers", seen=known, of=len(items)),
        ),
    )


def _other_answers(
    by_task: Mapping[str, Sequence[ScoredItem]], plain: Mapping[str, Sequence[PlainItem]]
) -> Iterator[str]:
    """Tasks whose choices or right answers are others than those of their files."""
    for task in by_task.keys() & plain.keys():
        own, known = by_task[task], plain[task]
        wrong = [
            place
            for place, item in enumerate(own)
            if place >= len(known)
            or (tuple(map(str, item.choices)), item.gold) != (known[place].choices, known[place].right)
        ]
        if wrong:
            yield (
                f"{len(wrong)} of {len(own)} items of {task} with another right answer than its file, first number "
                f"{wrong[0] + 1}"
            )
        others = [n for n, (item, read) in enumerate(zip(own, known, strict=False)) if item.asked != read.asked]
        if others and all(read.asked is not None for read in known):
            yield (
                f"{len(others)} of {len(own)} items of {task} that ask something else than its file, first number "
                f"{others[0] + 1}"
            )


def _asks(item: ScoredItem, formatter: PromptFormatter) -> bool:
    """Whether the tokens are those of question and answer, or hold these; of items whose choices are questions, any."""
    if not isinstance(item.question, str):
        return True
    if item.asked is not None:
        wanted = [pair_ids(formatter.tokenizer, formatter.opening, *texts) for texts in item.asked]
        return wanted == [(request.token_ids, request.start) for request, _ in item.answers]
    texts = [_read(formatter.tokenizer, request.token_ids) for request, _ in item.answers]
    return all(
        _letters(item.question) in text and text.endswith(_letters(str(choice)))
        for text, choice in zip(texts, item.choices, strict=True)
    )


@functools.lru_cache(maxsize=200_000)
def _read(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...]) -> str:
    """The letters of tokens; every cell asks the same."""
    return _letters(cast(str, tokenizer.decode(list(ids))))


def _letters(text: str) -> str:
    return "".join(text.split())


def perplexity_figure(name: str, observed: Observed, measurements: Sequence[Measurement]) -> StageReceipt:
    """Whether perplexity is exp of the mean negative log-likelihood of all scored tokens. name: of the evaluation."""
    losses = [-value for _, scored in observed.scored for value in scored.log_probabilities]
    mean = sum(losses) / len(losses) if losses else math.nan
    # One that overflows is held below the largest float, one that is no number has to stay none.
    figures = {name: math.exp(mean)} if math.isfinite(mean) and mean < 700 else {}
    found = {measured.metric: measured.value for measured in measurements}
    problems = _off(figures, found, "where the engine's likelihoods give")
    if not math.isfinite(mean) and found.get(name) is not None:
        problems.append(f"{name} is {found[name]:.6g} where a likelihood is no number")
    return StageReceipt(
        stage="scorer",
        name="perplexity-figure",
        holds=not problems,
        expected="perplexity as e to the mean negative log-likelihood of a token, in nats",
        seen="; ".join(problems) or "that",
        advice="look at what the negative log-likelihood is summed over and divided by",
        evidence={"tokens": len(losses)},
    )


def _off(expected: Mapping[str, float], found: Mapping[str, float | None], where: str) -> list[str]:
    return [
        f"{metric} is {_shown(found.get(metric))} {where} {_shown(value)}"
        for metric, value in expected.items()
        if (seen := found.get(metric)) is None or not math.isclose(seen, value, rel_tol=ROUNDING)
    ]


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.6g}"
