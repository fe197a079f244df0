"""Requests that calibration data may be made from: none that is evaluated, none twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError

#: Requests times evaluated ones, of which each pair is compared; a benchmark evaluates 100 and has some thousands.
MOST_PAIRS = 20_000_000
#: Requests that share so much of their words are near-duplicates: (n - 1)/(n + 1) is what is left of n different words
#: when one is replaced, 0.6 of four and more of longer ones. A choice of ours.
NEAR_DUPLICATE_JACCARD = 0.6


@dataclass(frozen=True)
class ScreenedRequests:
    """Requests by what became of them. near_duplicates are in `fit` as well where they were to be kept."""

    fit: tuple[str, ...]
    near_duplicates: tuple[str, ...]
    repeated: int


def screen(requests: Sequence[str], evaluated: Sequence[str], keep_near_duplicates: bool) -> ScreenedRequests:
    """Leave out repeated requests and, unless they are to be kept, near-duplicates of evaluated ones.

    Raises UserError where a request is itself evaluated: what is found with it would be tested on it; and for more of
    both than can be compared.
    """
    if len(requests) * len(evaluated) > MOST_PAIRS:
        raise UserError(
            f"{len(requests)} attribution requests are to be compared with {len(evaluated)} evaluation requests; "
            f"expected at most {MOST_PAIRS // len(evaluated)} of them: leave some out of the file of the dataset "
            "'attribution-requests'"
        )
    distinct = list({normalised(request): request for request in reversed(requests)}.values())[::-1]
    held_out = {normalised(request) for request in evaluated}
    leaked = [request for request in distinct if normalised(request) in held_out]
    if leaked:
        raise UserError(
            f"{len(leaked)} attribution requests are among the evaluation requests, first {leaked[0]!r}; expected "
            "none: put requests that are not evaluated into the file of the dataset 'attribution-requests'"
        )
    words_evaluated = [words_of(request) for request in evaluated]
    words_distinct = map(words_of, distinct)
    duplicates = tuple(
        request
        for request, own in zip(distinct, words_distinct, strict=True)
        if any(_are_near_duplicates(own, words) for words in words_evaluated)
    )
    left_out = set() if keep_near_duplicates else set(duplicates)
    fit = tuple(request for request in distinct if request not in left_out)
    return ScreenedRequests(fit, duplicates, len(requests) - len(distinct))


def normalised(request: str) -> str:
    """A request without what does not make it another one: case, and how words are spaced."""
    return " ".join(request.casefold().split())


def words_of(request: str) -> frozenset[str]:
    """The distinct words of a request, without case and punctuation."""
    return frozenset(re.findall(r"\w+", request.casefold()))


def word_jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|; 0 for two empty sets."""
    shared = len(one & other)
    together = len(one) + len(other) - shared
    return shared / together if together else 0.0


def _are_near_duplicates(one: frozenset[str], other: frozenset[str]) -> bool:
    """A ∩ B is no larger than the smaller set, and A ∪ B no smaller than the larger one: most are told by that."""
    fewer, more = (len(one), len(other)) if len(one) < len(other) else (len(other), len(one))
    return more > 0 and fewer / more >= NEAR_DUPLICATE_JACCARD and word_jaccard(one, other) >= NEAR_DUPLICATE_JACCARD
