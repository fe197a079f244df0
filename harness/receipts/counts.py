"""Receipts of what utility was measured on, counted where it reaches the engine: items, choices, windows."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness.receipts.observed_engine import Observed
from harness.receipts.plain_text import plain_text
from harness.spec.measurement import Measurement
from harness.spec.receipt import StageReceipt


def expected_items(tasks: Sequence[Any], limit: int | None) -> dict[str, tuple[int, int]]:
    """By task, the items that a limit leaves and the likelihoods that they need: one for each choice.

    tasks: lm-eval's, whose documents and choices are counted here once more. A task with mutual information asks for
    each choice a second time, without its context.
    """
    found = {}
    for task in tasks:
        documents = list(islice(task.eval_docs, limit))
        twice = 2 if any("mutual_info" in str(metric) for metric in task.aggregation()) else 1
        found[str(task.config.task)] = len(documents), twice * sum(len(task.doc_to_choice(each)) for each in documents)
    return found


def zero_shot_items(
    name: str,
    expected: Mapping[str, tuple[int, int]],
    measurements: Sequence[Measurement],
    observed: Observed,
    limit: int | None,
) -> StageReceipt:
    """Whether accuracy was measured on the first `limit` items of each task. name: of the evaluation."""
    counted = {measured.metric: measured.n for measured in measurements}
    wrong = {
        task: counted.get(f"{name}_{task}", 0)
        for task, (items, _) in expected.items()
        if counted.get(f"{name}_{task}", 0) != items
    }
    wanted, asked = sum(requests for _, requests in expected.values()), len(observed.scored)
    items, which = sum(items for items, _ in expected.values()), f"limit {limit}" if limit else "all of them"
    problems = [
        f"{seen} items of {task} instead of {expected[task][0]}, and other numbers in {len(wrong)} tasks"
        for task, seen in list(wrong.items())[:1]
    ]
    if not problems and asked != wanted:
        problems = [f"{asked} answers scored by the engine"]
    return StageReceipt(
        stage="scorer",
        name="zero-shot-items",
        holds=not problems,
        expected=f"{items} items with {wanted} answers of {len(expected)} tasks ({which})",
        seen="; ".join(problems) or "them",
        advice="accuracies on other items do not compare: the limit is the spec's, for every figure the same",
        evidence={
            "items": items,
            "answers_expected": wanted,
            "answers_scored": asked,
            **{f"items_of_{task}": count for task, (count, _) in expected.items()},
        },
    )


@dataclass(frozen=True)
class PlainText:
    """A text as ids behind its opening, which is (BOS,) or nothing (plain_prompts.py)."""

    tokens: tuple[int, ...]
    opening: tuple[int, ...]


def perplexity_windows(
    text: PlainText, window_tokens: int, windows: int | None, observed: Observed, n: int
) -> StageReceipt:
    """Whether perplexity was measured on whole windows of the spec's length, from the start of the text.

    n: the number of windows that the measurement says.
    """
    tokens = text.tokens
    starts = range(0, len(tokens) - window_tokens + 1, window_tokens)
    wanted = [(tuple(tokens[start : start + window_tokens]), 1) for start in starts][:windows]
    sent = [(request.token_ids, request.start) for request, _ in observed.scored]
    sizes = sorted({len(ids) for ids, _ in sent})
    seen, advice = "them", "perplexity depends on the length of its window: take the spec's, not the model's maximum"
    if (len(sent), sizes, n) != (len(wanted), [window_tokens], len(wanted)):
        seen = f"{len(sent)} of {' and '.join(map(str, sizes)) or 'no'} tokens, counted as {n}"
    elif sent != wanted:
        seen, advice = _other_tokens(sent, wanted, text.opening)
    return StageReceipt(
        stage="scorer",
        name="perplexity-windows",
        holds=sent == wanted and n == len(wanted),
        expected=f"{len(wanted)} windows of {window_tokens} tokens of the text",
        seen=seen,
        advice=advice,
        evidence={
            "windows": len(sent),
            "text_tokens": len(tokens),
            "window_tokens": sizes[0] if len(sizes) == 1 else ", ".join(map(str, sizes)),
        },
    )


def _other_tokens(
    sent: Sequence[tuple[tuple[int, ...], int]], wanted: Sequence[tuple[tuple[int, ...], int]], begins: tuple[int, ...]
) -> tuple[str, str]:
    """What windows of the right number and length hold, and what to look at. begins: what the text begins with."""
    if begins and [ids[:1] for ids, _ in sent[:1]] != [begins]:
        return (
            "a text without the BOS that it begins with",
            "a model has never seen a text begin otherwise: add it once",
        )
    extra = sum(ids.count(*begins) for ids, _ in sent) - sum(ids.count(*begins) for ids, _ in wanted) if begins else 0
    if extra > 0:
        return f"a text with {extra} more BOS", "one BOS stands before the text, and none between its windows"
    if [ids for ids, _ in sent] == [ids for ids, _ in wanted]:
        return "the windows, scored from another token on", "the first token of a window is the only one not scored"
    return "as many windows of other tokens", "look at what reads, tokenises and cuts the text"


@functools.cache
def text_tokens(path: Path, tokenizer: PreTrainedTokenizerBase, begins: tuple[int, ...]) -> PlainText:
    """A text behind what texts begin with, tokenised once for all cells."""
    return PlainText((*begins, *tokenizer.encode(plain_text(path), add_special_tokens=False)), begins)
