"""Evidence that a text is no answer, computed so that whitespace cannot change it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

REPEAT_CHARACTERS = 12
WINDOW_TOKENS = 16
#: Visible characters from which a text may be a loop, and from which its runs of 12 are enough to tell.
SHORTEST_LOOP, LONGEST_SHORT_TEXT = 8, 48


def visible_characters(text: str) -> str:
    """The text without whitespace and unprintable characters, casefolded."""
    return "".join(c for c in text.casefold() if c.isprintable() and not c.isspace())


def repeated_share(text: str) -> float:
    """How much of the visible text is said again: 0 for nothing, near 1 for loops.

    1 - distinct / all of its 12-character runs. A short text has few of them or none: where it says a shorter unit
    again and again, its share of the text counts (`looped_share`), if that is larger.
    """
    characters = visible_characters(text)
    runs = [characters[i : i + REPEAT_CHARACTERS] for i in range(len(characters) - REPEAT_CHARACTERS + 1)]
    return max(1.0 - len(set(runs)) / len(runs) if runs else 0.0, looped_share(characters))


def looped_share(characters: str) -> float:
    """The largest share of a short text that says a unit of fewer than 12 characters again, twice or more in a row.

    Of 14 times the same character 13 / 14. A digit again and again is no loop: "10000000" may be an answer. Of fewer
    than 8 characters nothing is said, and of 48 or more the runs of 12 tell as well.
    """
    n = len(characters)
    if not SHORTEST_LOOP <= n < LONGEST_SHORT_TEXT:
        return 0.0
    most = 0
    for period in range(1, REPEAT_CHARACTERS):
        same = 0  # characters in a row that are those one period before
        for place in range(period, n):
            number = period == 1 and characters[place].isdigit()
            same = same + 1 if characters[place] == characters[place - period] and not number else 0
            if same >= max(2 * period, SHORTEST_LOOP - 2):
                most = max(most, same)
    return most / n


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
