"""Evidence that a text is no answer, computed so that whitespace cannot change it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

REPEAT_CHARACTERS = 12
WINDOW_TOKENS = 16


def visible_characters(text: str) -> str:
    """The text without whitespace and unprintable characters, casefolded."""
    return "".join(c for c in text.casefold() if c.isprintable() and not c.isspace())


def repeated_share(text: str) -> float:
    """1 - distinct / all of the 12-character runs of the visible text; 0 for none, near 1 for loops."""
    characters = visible_characters(text)
    runs = [characters[i : i + REPEAT_CHARACTERS] for i in range(len(characters) - REPEAT_CHARACTERS + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


def worst_window_negative_log_likelihood(negative_log_likelihoods: Sequence[float]) -> float:
    """The largest median negative log-likelihood (nats a token) over all windows of 16 tokens.

    The median of a window does not mind a few unlikely tokens, such as the name of a forbidden
    topic in an answer; the maximum over windows does not let a fluent start excuse what follows.
    negative_log_likelihoods: (T,) under the intact model. NaN or no token at all gives infinity.
    """
    losses = list(negative_log_likelihoods)
    if not losses or any(math.isnan(loss) for loss in losses):
        return math.inf
    last_start = max(len(losses) - WINDOW_TOKENS, 0)
    return max(statistics.median(losses[i : i + WINDOW_TOKENS]) for i in range(last_start + 1))


def mean_negative_log_likelihood(negative_log_likelihoods: Sequence[float]) -> float:
    """Mean negative log-likelihood (nats a token) of the whole text.

    It sees sentences that are fluent for some words and break off, again and again, which the
    median of a window forgives. NaN or no token at all gives infinity.
    """
    losses = list(negative_log_likelihoods)
    if not losses or any(math.isnan(loss) for loss in losses):
        return math.inf
    return math.fsum(losses) / len(losses)
