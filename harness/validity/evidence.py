"""Evidence that a completion is no answer: repetition, a low likelihood, and a length no answer has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.engines.base import Engine, ScoreRequest
from harness.formulas.degeneration import (
    mean_negative_log_likelihood,
    repeated_share,
    visible_characters,
    worst_window_negative_log_likelihood,
)
from harness.models.prompts import PromptFormatter, token_ids
from harness.spec.measurement import Completion
from harness.spec.packed import packed, unpacked

#: Longest part of a completion whose likelihood is measured.
SCORED_TOKENS = 256


def with_evidence(completions: Sequence[Completion], engine: Engine, formatter: PromptFormatter) -> list[Completion]:
    """The completions with `repetition`, `worst_window_nll`, `mean_nll` and `length` as evidence, and their losses.

    A text without tokens has no likelihood. One whose likelihood is no number has `no_likelihood` instead.

    The engine must hold the intact model. Likelihood is measured behind BOS alone, or behind what begins an
    answer's turn where texts begin with none, and behind no request, so that an answer which the intact model would
    have refused is not held against its text; whitespace is brought to single spaces first, so that it decides nothing.
    """
    texts = sorted({normalised(completion.text) for completion in completions})
    losses = dict(zip(texts, _losses(texts, engine, formatter), strict=True))
    return [
        completion.model_copy(
            update={
                "evidence": {
                    **completion.evidence,
                    "repetition": repeated_share(completion.text),
                    **_likelihood_evidence(losses[normalised(completion.text)]),
                    "length": float(len(visible_characters(completion.text))),
                },
                "losses": packed(losses[normalised(completion.text)]),
            }
        )
        for completion in completions
    ]


def _likelihood_evidence(negative_log_likelihoods: Sequence[float]) -> dict[str, float]:
    """Finite numbers only: evidence is stored as JSON, which knows no infinity."""
    if not negative_log_likelihoods:
        return {}
    found = {
        "worst_window_nll": worst_window_negative_log_likelihood(negative_log_likelihoods),
        "mean_nll": mean_negative_log_likelihood(negative_log_likelihoods),
    }
    return found if all(math.isfinite(value) for value in found.values()) else {"no_likelihood": 1.0}


def normalised(text: str) -> str:
    """The text with every run of whitespace as one space, and none at its ends."""
    return " ".join(text.split())


def _losses(texts: Sequence[str], engine: Engine, formatter: PromptFormatter) -> list[list[float]]:
    """Negative log-likelihoods (nats) of each text's tokens; none for a text without tokens.

    Of a model whose texts begin with nothing and whose template begins no answer, those of all tokens but the first.
    """
    tokenizer, before = formatter.tokenizer, formatter.before_answers
    special = set(tokenizer.all_special_ids)
    tokens = [[t for t in token_ids(tokenizer, text) if t not in special][:SCORED_TOKENS] for text in texts]
    first = max(1, len(before))
    behind = [(*before, *ids) for ids in tokens]
    scored = iter(engine.score([ScoreRequest(ids, first) for ids in behind if len(ids) > first]))
    # As they are stored, so that whoever reads them comes to the same numbers.
    return [
        [*unpacked(packed([-p for p in next(scored).log_probabilities]))] if len(ids) > first else [] for ids in behind
    ]
