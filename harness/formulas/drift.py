"""How far weights moved: statistics of a group's change, and what they would be over other layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: The share of the largest values that a trimmed mean leaves out.
TRIMMED = 0.01
QUANTILES = (0.05, 0.25, 0.75, 0.95, 0.99)
#: A resampled quantile or trimmed mean is found among so many bins of equal count: of more values than that its
#: rank is exact to 1/2048; point estimates are exact.
BINS = 2048
#: By so many ranks another processor may move a quantile, beside the 2% of every figure: under three instruction sets
#: none of the quantiles of extension-drift on tiny-llama3-instruct moved by more (docs/concepts/processors.md).
NEIGHBOUR_RANKS = 1


@dataclass(frozen=True)
class Figure:
    """A statistic of n weights. resampled: (B,) its values over resampled layers, where it has an interval.

    resolution: of a share of the weights, what one more or less changes.
    neighbours: of a quantile, or of a ratio of two, what it can be if it stands NEIGHBOUR_RANKS lower or higher.
    """

    value: float
    n: int
    resampled: Tensor | None = None
    resolution: float | None = None
    neighbours: tuple[float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Percentiles 2.5 and 97.5 of the resampled values."""
        return None if self.resampled is None else percentile_interval(self.resampled)


def change_of_merged(weight: Tensor, update: Tensor, dtype: torch.dtype) -> Tensor:
    """Δw, float64, of weights that hold W₀ + update in a dtype, against W₀ in that dtype.

    weight, update: (n,). In bfloat16, with 8 bits, an update below about |w| / 512 to |w| / 256 is rounded away.
    """
    before = weight.to(dtype)
    return (before.float() + update).to(dtype).double() - before.double()


def resampled_layers(layers: int, replicates: int, seed: int) -> Tensor:
    """How often each layer is drawn in each replicate, (B, L) float64: L draws with replacement.

    Layers, not weights or rows: the entries of a low-rank update share factors along rows and along columns, so
    that only layers have updates of their own. One seed gives all groups the same layers: their ratio is paired.
    """
    drawn = torch.randint(layers, (replicates, layers), generator=torch.Generator().manual_seed(seed))
    counts = torch.zeros(replicates, layers, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones(drawn.shape, dtype=torch.float64))


def percentile_interval(values: Tensor) -> tuple[float, float] | None:
    """The middle 95% of resampled values; None where one of them has no value (no weight was drawn)."""
    if not len(values) or not torch.isfinite(values).all():
        return None
    ordered = values.sort().values
    return quantile(ordered, 0.025), quantile(ordered, 0.975)


def quantile(ordered: Tensor, q: float) -> float:
    """Of sorted values (n,), with linear interpolation between order statistics (numpy's default)."""
    place = (len(ordered) - 1) * q
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    first, second = float(ordered[low]), float(ordered[high])
    return first + (second - first) * (place - low)


def quantile_figure(ordered: Tensor, q: float, resampled: Tensor | None = None) -> Figure:
    """A quantile of sorted values (n,) with its neighbours: the order statistics NEIGHBOUR_RANKS below and above it.

    If at most so many values pass from one side of it to the other, it lies between these two. Of a group in which
    most weights stand still, a high quantile rests on a few values that lie far apart: there the two say how far.
    """
    last = len(ordered) - 1
    place = last * q
    low, high = max(math.floor(place) - NEIGHBOUR_RANKS, 0), min(math.ceil(place) + NEIGHBOUR_RANKS, last)
    neighbours = float(ordered[low]), float(ordered[high])
    return Figure(quantile(ordered, q), len(ordered), resampled, neighbours=neighbours)


def trimmed_mean(ordered: Tensor) -> float:
    """Mean of sorted values (n,) without the largest TRIMMED of them, rounded down to whole values.

    Cut at one end alone: |Δw| / |w| has no upper bound, and its tail is what weights near 0 make of any change.
    """
    return float(ordered[: len(ordered) - int(TRIMMED * len(ordered))].mean())


def group_figures(before: Tensor, change: Tensor, layer: Tensor, resampled: Tensor) -> dict[str, Figure]:
    """Every statistic of a group's change; n >= 1.

    before, change: (n,) w and Δw. layer: (n,) index into the layers of `resampled` (B, L).
    `relative` is |Δw| / |w| over the weights that are not 0; without one its statistics are not there.
    """
    before, change = before.double(), change.double()
    absolute, magnitude = change.abs(), before.abs()
    kept = magnitude > 0
    figures = _distribution("absolute", absolute, layer, resampled)
    if kept.any():
        figures |= _distribution("relative", absolute[kept] / magnitude[kept], layer[kept], resampled)
        figures["norm_ratio"] = _norm_ratio(change, before, layer, resampled)
    figures["unchanged_share"] = Figure(float((change == 0).double().mean()), len(change), resolution=1 / len(change))
    return figures


def sums_by_layer(before: Tensor, change: Tensor, layer: Tensor, layers: int) -> Tensor:
    """What means, deviations and norms of a group's change follow from, by layer: (L, 11) float64.

    before, change: (n,) w and Δw. layer: (n,). Columns: weights; of |Δw| sum, squares around the layer's mean, and
    maximum; the same four of |Δw| / |w| over the weights that are not 0; Σ Δw², Σ w², and weights with Δw = 0.
    """
    before, change = before.double(), change.double()
    absolute, magnitude = change.abs(), before.abs()
    kept = magnitude > 0
    columns = [
        *_moments(absolute, layer, layers),
        *_moments(absolute[kept] / magnitude[kept], layer[kept], layers),
        *(torch.bincount(layer, values, minlength=layers) for values in (change.square(), before.square())),
        torch.bincount(layer[change == 0], minlength=layers).double(),
    ]
    return torch.stack(columns, dim=1)


def _moments(values: Tensor, layer: Tensor, layers: int) -> list[Tensor]:
    """By layer, (L,) each: number, sum, squares around the layer's mean, and maximum; 0 where there is no value."""
    count = torch.bincount(layer, minlength=layers).double()
    total = torch.bincount(layer, values, minlength=layers).double()
    around = values - (total / count.clamp_min(1))[layer]
    squares = torch.bincount(layer, around.square(), minlength=layers).double()
    largest = torch.zeros(layers, dtype=torch.float64).scatter_reduce_(0, layer, values, "amax")
    return [count, total, squares, largest]


def ratio(first: Figure, second: Figure) -> Figure | None:
    """first / second with the interval of paired resampling; None where it, or a replicate, divides by 0."""
    if second.value == 0 or first.resampled is None or second.resampled is None:
        return None
    neighbours = None
    if first.neighbours and second.neighbours and second.neighbours[0] > 0:
        neighbours = first.neighbours[0] / second.neighbours[1], first.neighbours[1] / second.neighbours[0]
    resampled = first.resampled / second.resampled
    found = Figure(first.value / second.value, first.n, resampled, neighbours=neighbours)
    return None if found.interval is None else found


def _distribution(kind: str, values: Tensor, layer: Tensor, resampled: Tensor) -> dict[str, Figure]:
    order = values.argsort()
    ordered, n = values[order], len(values)
    bins = _Bins.of(ordered, layer[order], resampled)
    figures = {
        "mean": Figure(float(values.mean()), n, bins.means()),
        "std": Figure(float(values.std(correction=0)), n),
        "median": quantile_figure(ordered, 0.5, bins.medians()),
        **{f"q{round(100 * q):02d}": quantile_figure(ordered, q) for q in QUANTILES},
        "max": Figure(float(ordered[-1]), n),
        "trimmed_mean": Figure(trimmed_mean(ordered), n, bins.trimmed_means()),
    }
    return {f"{kind}_{name}": figure for name, figure in figures.items()}


def _norm_ratio(change: Tensor, before: Tensor, layer: Tensor, resampled: Tensor) -> Figure:
    """||Δw||₂ / ||w||₂ of the group: every weight counts by its square, and none is divided by."""
    layers = resampled.shape[1]
    squares = [torch.bincount(layer, values.square(), minlength=layers) for values in (change, before)]
    moved, size = (resampled @ square for square in squares)
    return Figure(float((squares[0].sum() / squares[1].sum()).sqrt()), len(change), (moved / size).sqrt())


@dataclass(frozen=True)
class _Bins:
    """Sorted values in bins of equal count, and what is in each bin in every replicate.

    totals, counts: (B, K) sum and number of the drawn values of each bin.
    """

    totals: Tensor
    counts: Tensor

    @classmethod
    def of(cls, ordered: Tensor, layer: Tensor, resampled: Tensor) -> _Bins:
        """ordered: (n,) sorted. layer: (n,) of each value. resampled: (B, L)."""
        n, layers = len(ordered), resampled.shape[1]
        size = min(n, BINS)
        cell = layer * size + torch.arange(n) * size // n
        counts, totals = (
            torch.bincount(cell, weights, minlength=layers * size).reshape(layers, size).double()
            for weights in (None, ordered)
        )
        return cls(resampled @ totals, resampled @ counts)

    def means(self) -> Tensor:
        """(B,), NaN where nothing was drawn."""
        return self.totals.sum(dim=1) / self.counts.sum(dim=1)

    def medians(self) -> Tensor:
        """(B,), the mean of the bin in which half of the drawn values are reached, NaN where nothing was drawn."""
        half = self.counts.sum(dim=1, keepdim=True) / 2
        place = torch.searchsorted(self.counts.cumsum(dim=1), half)
        place = place.clamp(max=self.counts.shape[1] - 1)
        return (self.totals.gather(1, place) / self.counts.gather(1, place)).squeeze(1)

    def trimmed_means(self) -> Tensor:
        """(B,), the bin at the cut counted in part, NaN where nothing was drawn."""
        drawn = self.counts.sum(dim=1, keepdim=True)
        wanted = drawn - (TRIMMED * drawn).floor()
        before = self.counts.cumsum(dim=1) - self.counts
        share = ((wanted - before) / self.counts).nan_to_num(nan=0.0).clamp(0, 1)  # an empty bin adds nothing
        return (self.totals * share).sum(dim=1) / wanted.squeeze(1)
