"""Estimates with their uncertainty. All intervals are two-sided at 95%."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: 97.5% quantile of the standard normal distribution.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A value over n units, its standard error, and a 95% interval."""

    value: float
    n: int
    standard_error: float
    interval: tuple[float, float]


def proportion(successes: int, n: int) -> Estimate:
    """Share of successes with Wilson's interval. Raises ValueError for n = 0: no data is no zero.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001.
    """
    if n <= 0:
        raise ValueError("a proportion of no units is undefined")
    share = successes / n
    return Estimate(share, n, math.sqrt(share * (1 - share) / n), wilson_interval(share, n))


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval; n may be an effective number and need not be whole."""
    z2 = Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if share == 0.0 else max(0.0, centre - half)
    high = 1.0 if share == 1.0 else min(1.0, centre + half)
    return low, high


def clustered_proportion(clusters: Sequence[Sequence[bool]]) -> Estimate:
    """Mean over all units of equal-sized clusters (samples of one prompt), standard error over clusters.

    The interval is Wilson's with the effective number of units p(1 - p) / SE², which lies between
    the number of clusters and the number of units. `n` is the number of clusters.
    """
    means = [sum(cluster) / len(cluster) for cluster in clusters]
    if not means:
        raise ValueError("a proportion of no units is undefined")
    share = sum(means) / len(means)
    units = sum(len(cluster) for cluster in clusters)
    if len(means) == 1 or share in (0.0, 1.0):
        return Estimate(share, len(means), 0.0, wilson_interval(share, len(means)))
    variance = sum((mean - share) ** 2 for mean in means) / (len(means) - 1)
    standard_error = math.sqrt(variance / len(means))
    effective = float(units)
    if standard_error > 0:
        effective = min(max(share * (1 - share) / standard_error**2, len(means)), units)
    return Estimate(share, len(means), standard_error, wilson_interval(share, effective))


def mean_of_estimates(estimates: Sequence[Estimate]) -> Estimate:
    """Unweighted mean of independent estimates; standard errors add in quadrature. `n` is their sum."""
    if not estimates:
        raise ValueError("the mean of no estimates is undefined")
    k = len(estimates)
    value = sum(estimate.value for estimate in estimates) / k
    half_low = math.sqrt(sum((e.value - e.interval[0]) ** 2 for e in estimates)) / k
    half_high = math.sqrt(sum((e.interval[1] - e.value) ** 2 for e in estimates)) / k
    error = math.sqrt(sum(e.standard_error**2 for e in estimates)) / k
    return Estimate(value, sum(e.n for e in estimates), error, (value - half_low, value + half_high))


def mean(values: Sequence[float]) -> Estimate:
    """Mean of independent values with the normal interval. Needs at least two values."""
    n = len(values)
    if n < 2:
        raise ValueError("the standard error of a mean needs at least two values")
    centre = math.fsum(values) / n
    error = math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (n - 1) / n)
    return Estimate(centre, n, error, (centre - Z_95 * error, centre + Z_95 * error))


@dataclass(frozen=True)
class Spread:
    """Mean of n repetitions and their standard deviation, None where there is one repetition only."""

    mean: float
    standard_deviation: float | None
    n: int


def spread_over_repetitions(values: Sequence[float]) -> Spread:
    """Mean and one sample standard deviation (divisor n − 1), the bars of the paper's figures 3 and 8.

    It says how far single repetitions lie apart, not how well their mean is known. Raises ValueError for n = 0.
    """
    n = len(values)
    if n == 0:
        raise ValueError("the spread of no repetitions is undefined")
    centre = math.fsum(values) / n
    if n == 1:
        return Spread(centre, None, 1)
    return Spread(centre, math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (n - 1)), n)


def difference_interval(
    first: float, first_interval: tuple[float, float], second: float, second_interval: tuple[float, float]
) -> tuple[float, float]:
    """95% interval of first - second from their own intervals.

    Source: Newcombe 1998, method 10 (square-and-add), for independent estimates.
    """
    low = math.hypot(first - first_interval[0], second_interval[1] - second)
    high = math.hypot(first_interval[1] - first, second - second_interval[0])
    return first - second - low, first - second + high


def binomial_tolerance(share: float, n: int) -> float:
    """Half-width of the 95% interval of a share at n prompts, above 0 also at 0 and 1.

    The share is shrunk by two successes and two failures first (Agresti and Coull 1998).
    """
    shrunk = (share * n + 2) / (n + 4)
    return Z_95 * math.sqrt(shrunk * (1 - shrunk) / (n + 4))
