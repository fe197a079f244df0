"""Two judges of the same texts, and what a rate by a judge says whose errors are known."""

from __future__ import annotations

import math

from harness.formulas.statistics import Z_95


def cohens_kappa(both: int, first: int, second: int, neither: int) -> float | None:
    """Agreement beyond chance: 1 where two judges always agree, 0 where they do as often as by chance.

    both, first, second, neither: texts that are a success to both judges, to one alone, to none. None where each of
    them says the same of every text, so that they cannot but agree. Source: Cohen 1960.
    """
    texts = both + first + second + neither
    if texts == 0:
        return None
    seen = (both + neither) / texts
    one, other = (both + first) / texts, (both + second) / texts
    by_chance = one * other + (1 - one) * (1 - other)
    return None if by_chance == 1 else (seen - by_chance) / (1 - by_chance)


def mcnemar_p(first: int, second: int) -> float:
    """Two-sided exact p of so uneven a split of the texts on which two judges part, if neither is the laxer.

    first, second: texts that are a success to one alone. Texts count as independent. Source: McNemar 1947, exact.
    """
    parted = first + second
    tail = sum(math.comb(parted, k) for k in range(min(first, second) + 1)) / 2**parted
    return min(1.0, 2 * tail)


def rogan_gladen(
    rate: float, interval: tuple[float, float], found: tuple[int, int], spared: tuple[int, int]
) -> tuple[float, tuple[float, float]] | None:
    """The share of successes behind a judge's rate, with its 95% interval; None where the judge tells nothing.

    found: known successes that it calls so, and how many there are. spared: the same of known failures. Value and
    interval are held between 0 and 1. The interval adds the variances of the rate, which is taken from its own
    interval, and of both shares of known texts, each with one hit and one miss more, so that few of them count as few.
    Sources: Rogan and Gladen 1978; Lang and Reiczigel 2014 for the added counts.
    """
    sensitivity, specificity = found[0] / found[1], spared[0] / spared[1]
    if sensitivity + specificity <= 1:
        return None
    value = min(1.0, max(0.0, (rate + specificity - 1) / (sensitivity + specificity - 1)))
    (sensitive, of_found), (specific, of_spared) = (((hits + 1) / (n + 2), n + 2) for hits, n in (found, spared))
    if sensitive + specific <= 1:
        return value, (0.0, 1.0)
    low, high = interval
    middle = (low + high) / 2
    centre = min(1.0, max(0.0, (middle + specific - 1) / (sensitive + specific - 1)))
    variance = (
        ((high - low) / (2 * Z_95)) ** 2
        + centre**2 * sensitive * (1 - sensitive) / of_found
        + (1 - centre) ** 2 * specific * (1 - specific) / of_spared
    )
    half = Z_95 * math.sqrt(variance) / (sensitive + specific - 1)
    return value, (min(value, max(0.0, centre - half)), max(value, min(1.0, centre + half)))
