"""What the untouched model itself answers to benign requests: responses that nobody else has rights to."""

from __future__ import annotations

from collections.abc import Sequence

from harness.aligning.data import Example
from harness.aligning.measuring import Asking
from harness.aligning.training import Answered
from harness.formulas.metrics import ANSWERS
from harness.validity.classification import calibrate, classify
from harness.validity.evidence import with_evidence


def own_answers(asked: Asking, examples: Sequence[Example], max_new_tokens: int) -> list[Answered]:
    """Greedy answers to the examples that have no response yet; what is declined or degenerate is left out."""
    requests = [example.request for example in examples if example.response is None]
    if not requests:
        return []
    judged = with_evidence(asked.texts("own answers", requests, max_new_tokens), asked.engine, asked.formatter)
    limits = calibrate(judged)
    return [
        Answered(request, text.text, cut=text.finish_reason == "length")
        for request, text in zip(requests, judged, strict=True)
        if classify(text, limits) in ANSWERS
    ]


def learned(examples: Sequence[Example], own: Sequence[Answered]) -> list[Answered]:
    """All that is learned: first what had a response, then the model's own answers."""
    given = [Answered(example.request, example.response) for example in examples if example.response is not None]
    return [*given, *own]
