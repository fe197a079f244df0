"""Requests that calibration data may be made from: none that is evaluated, none twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError

#: Requests that share so much of their words are near twins.
NEAR_TWIN_JACCARD = 0.6


@dataclass(frozen=True)
class ScreenedRequests:
    """Requests by what became of them. near_twins are in `fit` as well where they were to be kept."""

    fit: tuple[str, ...]
    near_twins: tuple[str, ...]
    repeated: int


def screen(requests: Sequence[str], evaluated: Sequence[str], keep_near_twins: bool) -> ScreenedRequests:
    """Leave out repeated requests and, unless they are to be kept, near twins of evaluated ones.

    Raises UserError where a request is itself evaluated: what is found with it would be tested on it.
    """
    distinct = list({_normalised(request): request for request in reversed(requests)}.values())[::-1]
    held_out = {_normalised(request) for request in evaluated}
    leaked = [request for request in distinct if _normalised(request) in held_out]
    if leaked:
        raise UserError(
            f"{len(leaked)} attribution requests are among the evaluation requests, first {leaked[0]!r}; expected "
            "none: put requests that are not evaluated into the file of the dataset 'attribution-requests'"
        )
    words_evaluated = [_words(request) for request in evaluated]
    twins = tuple(
        request
        for request in distinct
        if any(_jaccard(_words(request), words) >= NEAR_TWIN_JACCARD for words in words_evaluated)
    )
    left_out = set() if keep_near_twins else set(twins)
    fit = tuple(request for request in distinct if request not in left_out)
    return ScreenedRequests(fit, twins, len(requests) - len(distinct))


def _normalised(request: str) -> str:
    return " ".join(request.casefold().split())


def _words(request: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", request.casefold()))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|; 0 for two empty sets."""
    return len(one & other) / len(one | other) if one | other else 0.0
