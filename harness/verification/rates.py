"""Shares and means with their 95% intervals, as docs/concepts/validity.md defines them, in formulas of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

#: 97.5% quantile of the standard normal distribution: 1.959963984540054.
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Figure:
    """One figure as it should be recorded. why: it does not count."""

    metric: str
    value: float | None
    n: int
    error: float | None = None
    interval: tuple[float, float] | None = None
    why: str | None = None
    resolution: float | None = None


@dataclass(frozen=True)
class Rate:
    """A value over n units with standard error and interval."""

    value: float
    n: int
    error: float
    interval: tuple[float, float]

    def figure(self, metric: str, why: str | None = None) -> Figure:
        """Under a name, and with a reason why it does not count."""
        return Figure(metric, self.value, self.n, self.error, self.interval, why)


def share_of(hits: Sequence[bool]) -> Rate:
    """The share of units that are hits, with Wilson's interval."""
    n, count = len(hits), sum(map(bool, hits))
    share = count / n
    return Rate(share, n, math.sqrt(count * (n - count) / n) / n, score_interval(share, n))


def score_interval(share: float, n: float) -> tuple[float, float]:
    """The two shares p at which |share - p| is z standard errors of p: the roots of a quadratic equation.

    (n + z²) p² - (2 n share + z²) p + n share² = 0. Source: Wilson 1927.
    """
    a, b, c = n + _Z * _Z, 2 * n * share + _Z * _Z, n * share * share
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    low = 0.0 if share == 0 else max(0.0, (b - root) / (2 * a))
    high = 1.0 if share == 1 else min(1.0, (b + root) / (2 * a))
    return low, high


def share_over_groups(groups: Sequence[Sequence[bool]]) -> Rate:
    """The mean of the groups' shares (samples of one prompt), its standard error that over groups.

    The interval is the score interval at p (1 - p) / SE² units, held between the numbers of groups and of samples.
    """
    shares = [sum(map(bool, group)) / len(group) for group in groups]
    k, samples = len(shares), sum(map(len, groups))
    centre = sum(shares) / k
    if k == 1 or centre == 0.0 or centre == 1.0:
        return Rate(centre, k, 0.0, score_interval(centre, k))
    squares = sum((share - centre) * (share - centre) for share in shares)
    error = math.sqrt(squares / ((k - 1) * k))
    units = (
        float(samples) if error == 0 else min(float(samples), max(float(k), centre * (1 - centre) / (error * error)))
    )
    return Rate(centre, k, error, score_interval(centre, units))


def mean_over(rates: Sequence[Rate]) -> Rate:
    """The plain mean of independent rates; distances to the ends of intervals add as squares, and so do errors."""
    k = len(rates)
    centre = sum(rate.value for rate in rates) / k
    below = math.hypot(*(rate.value - rate.interval[0] for rate in rates)) / k
    above = math.hypot(*(rate.interval[1] - rate.value for rate in rates)) / k
    error = math.hypot(*(rate.error for rate in rates)) / k
    return Rate(centre, sum(rate.n for rate in rates), error, (centre - below, centre + above))


def mean_of(values: Sequence[float]) -> Rate:
    """The mean of independent values, two at least, with the normal interval."""
    n, centre = len(values), fmean(values)
    error = math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (n * (n - 1)))
    return Rate(centre, n, error, (centre - _Z * error, centre + _Z * error))


def apart(
    one: float, one_interval: tuple[float, float], other: float, other_interval: tuple[float, float]
) -> tuple[float, float]:
    """95% interval of one - other. Source: Newcombe 1998, method 10."""
    distance = one - other
    low = math.sqrt((one - one_interval[0]) ** 2 + (other_interval[1] - other) ** 2)
    high = math.sqrt((one_interval[1] - one) ** 2 + (other - other_interval[0]) ** 2)
    return distance - low, distance + high
