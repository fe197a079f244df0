"""What the untouched model itself answers to benign requests: responses that nobody else has rights to."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from harness.aligning.data import Example
from harness.aligning.measuring import Asking
from harness.aligning.training import Answered
from harness.formulas.degeneration import repeated_share
from harness.formulas.metrics import ANSWERS
from harness.spec.alignment import BenignSource, Training
from harness.validity.classification import calibrate, classify
from harness.validity.evidence import with_evidence

#: Where a sentence ends; the number of an item in a list is none.
_SENTENCE_END = re.compile(r"(?<!\d)[.!?](?=\s)")


def own_answers(
    asked: Asking, examples: Sequence[Example], sources: Collection[BenignSource], training: Training
) -> list[Answered]:
    """Greedy answers to the examples of these sources, as whole sentences that say nothing again.

    What is declined or degenerate is left out, and what has no whole sentence of enough words.
    """
    requests = [example.request for example in examples if example.group in sources]
    if not requests:
        return []
    judged = with_evidence(
        asked.texts("own answers", requests, training.response_tokens), asked.engine, asked.formatter
    )
    limits = calibrate(judged)
    kept = [
        Answered(request, whole(text.text, text.finish_reason == "stop", training.own_repetition))
        for request, text in zip(requests, judged, strict=True)
        if classify(text, limits) in ANSWERS
    ]
    return [each for each in kept if len(each.response.split()) >= training.response_words]


def whole(text: str, ended: bool, repetition: float) -> str:
    """The longest beginning of whole sentences of which no more than this share is said again; or nothing.

    ended: whether the text ended by itself, so that its own end is one of a sentence. So a response teaches to come to
    an end, and ends before it turns in a circle.
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)] + ([len(text)] if ended else [])
    return next((text[:end] for end in reversed(ends) if repeated_share(text[:end]) <= repetition), "")


def learned(examples: Sequence[Example], own: Sequence[Answered], response_words: int) -> list[Answered]:
    """All that is learned: first refusals and the answers of people of at least so many words, then the model's own."""
    given = [
        Answered(example.request, example.response)
        for example in examples
        if example.response is not None and (example.group == "refusals" or _long(example.response, response_words))
    ]
    return [*given, *own]


def _long(response: str, words: int) -> bool:
    return len(response.split()) >= words
