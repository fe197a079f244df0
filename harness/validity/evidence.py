"""Evidence that a completion is no answer: repetition, surprise, and a length no answer has."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engines.base import Engine, ScoreRequest
from harness.formulas.degeneration import mean_surprise, repeated_share, visible_characters, worst_window_surprise
from harness.models.prompts import PromptFormatter, token_ids
from harness.spec.result import Completion

#: Longest part of a completion whose surprise is measured.
SCORED_TOKENS = 256


def with_evidence(completions: Sequence[Completion], engine: Engine, formatter: PromptFormatter) -> list[Completion]:
    """The completions with `repetition`, `surprise`, `mean_surprise` and `length` in their evidence.

    The engine must hold the intact model. Surprise is measured behind BOS alone, so that an answer
    which the intact model would have refused is not held against its text; whitespace is brought
    to single spaces first, so that it decides nothing.
    """
    texts = sorted({normalised(completion.text) for completion in completions})
    surprises = dict(zip(texts, _surprises(texts, engine, formatter), strict=True))
    return [completion.model_copy(update={"evidence": {
        **completion.evidence,
        "repetition": repeated_share(completion.text),
        "surprise": worst_window_surprise(surprises[normalised(completion.text)]),
        "mean_surprise": mean_surprise(surprises[normalised(completion.text)]),
        "length": float(len(visible_characters(completion.text))),
    }}) for completion in completions]  # fmt: skip


def normalised(text: str) -> str:
    """The text with every run of whitespace as one space, and none at its ends."""
    return " ".join(text.split())


def _surprises(texts: Sequence[str], engine: Engine, formatter: PromptFormatter) -> list[list[float]]:
    """Negative log-likelihoods (nats) of each text's tokens; none for a text without tokens."""
    tokenizer = formatter.tokenizer
    special = set(tokenizer.all_special_ids)
    tokens = [[t for t in token_ids(tokenizer, text) if t not in special][:SCORED_TOKENS] for text in texts]
    requests = [ScoreRequest((tokenizer.bos_token_id, *ids), 1) for ids in tokens if ids]
    scored = iter(engine.score(requests))
    return [[-p for p in next(scored).log_probabilities] if ids else [] for ids in tokens]
