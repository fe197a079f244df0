"""Figures of drift that follow from sums over layers: means, deviations, largest values, norms, and their intervals.

Medians, quantiles and trimmed means need every weight of a group, which no run keeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.spec.measurement import Measurement, RawValues
from harness.spec.result import CellResult
from harness.verification.rates import Figure

Rows = Sequence[RawValues]
Array = NDArray[np.float64]
#: What the row of a layer has: of |Δw| number, sum, squares around the layer's mean, largest; the same four of
#: |Δw| / |w| over weights that are not 0; Σ Δw², Σ w², and how many did not move.
_COLUMNS = 11
#: How the parts of checkpoints begin.
_STEP = "/checkpoint"
#: A thousand replicates of some hundreds of layers are some hundred thousand draws.
_MOST_DRAWS = 10**8
_FOLLOW = ("mean", "std", "max")


def unread(entry: Any) -> list[str]:
    """The statistics that nothing on disk decides."""
    own = [f"{kind}_{name}" for kind in ("absolute", "relative") for name in _FOLLOW]
    return [name for name in entry.statistics if name not in (*own, "norm_ratio", "unchanged_share")]


def places(entry: Any, cell: CellResult, every: Rows, counted: object) -> Iterable[tuple[str, int]]:
    """Of every checkpoint of the cell its step, and of each group the layers that it has in any cell."""
    steps = [] if cell.fine_tuning is None else [checkpoint.step for checkpoint in cell.fine_tuning.checkpoints]
    count = len(steps)
    wanted = [(f"{_STEP}{number}", step) for number, step in enumerate(steps, start=1)]
    for group in entry.groups if count else ():
        layers = sorted({row.index for row in every if row.part.partition("/")[0] == group.name}) or [0]
        parts = [group.name, *(f"{group.name}/checkpoint{number}" for number in range(1, count + 1))]
        wanted += [(part, layer) for part in parts for layer in layers]
    return wanted


def problem(entry: Any, row: RawValues) -> str | None:
    """As many numbers as the part has, none below 0."""
    if row.part.startswith(_STEP) and not 0 < (row.n or 0) * entry.replicates <= _MOST_DRAWS:
        return f"layers, of which {entry.replicates} replicates draw {_MOST_DRAWS} at most"
    sizes = {group.name: 3 for group in entry.groups}
    wanted = 0 if row.part.startswith(_STEP) else sizes.get(row.part, _COLUMNS)
    fits = len(row.values) == wanted and all(value is not None and value >= 0 for value in row.values)
    return None if fits else f"{wanted} numbers, none below 0"


@dataclass(frozen=True)
class _Found:
    """A statistic with its values over resampled layers, (B,), where it has an interval."""

    value: float
    n: int
    resampled: Array | None = None
    resolution: float | None = None

    def figure(self, metric: str) -> Figure:
        interval = None if self.resampled is None else _middle(self.resampled)
        return Figure(metric, self.value, self.n, interval=interval, resolution=self.resolution)


def figures(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """Sizes of groups, steps, the statistics that follow from sums, and their ratios at the last checkpoint."""
    steps = {row.part.removeprefix(_STEP): row for row in rows if row.part.startswith(_STEP)}
    if not steps:
        return []
    drawn = drawn_layers(next(iter(steps.values())).n or 0, entry.replicates, entry.seed)
    found = [Figure(f"{entry.name}/step/checkpoint{number}", float(row.index), 1) for number, row in steps.items()]
    sizes = {group.name: _sums(rows, group.name, 3, drawn).sum(axis=0) for group in entry.groups}
    for group, (count, zeros, total) in sizes.items():
        own = {"count": count, "zero_weights": zeros, "magnitude_mean": total / count if count else 0.0}
        found += [Figure(f"{entry.name}_{group}/{name}", float(value), int(count)) for name, value in own.items()]
    last: dict[str, dict[str, _Found]] = {}
    for number in steps:
        for group in sizes:
            last[group] = dict(_statistics(_sums(rows, f"{group}/checkpoint{number}", _COLUMNS, drawn), drawn))
            found += [
                last[group][name].figure(f"{entry.name}_{group}/{name}/checkpoint{number}")
                for name in entry.statistics
                if name in last[group]
            ]
    return [*found, *_ratios(entry, sizes, last)]


def _sums(rows: Rows, part: str, columns: int, drawn: Array) -> Array:
    """(L, columns), 0 where the group has no weight."""
    sums = np.zeros((drawn.shape[1], columns))
    for row in rows:
        if row.part == part and 0 <= row.index < len(sums):
            sums[row.index] = row.values
    return sums


def _statistics(sums: Array, drawn: Array) -> Iterator[tuple[str, _Found]]:
    for kind, columns in (("absolute", sums[:, :4]), ("relative", sums[:, 4:8])):
        yield from _distribution(kind, columns, drawn)
    moved, size, count = sums[:, 8], sums[:, 9], int(sums[:, 0].sum())
    if sums[:, 4].sum() > 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            resampled = np.sqrt((drawn @ moved) / (drawn @ size))
        yield "norm_ratio", _Found(math.sqrt(moved.sum() / size.sum()), count, resampled)
    yield "unchanged_share", _Found(float(sums[:, 10].sum()) / count, count, resolution=1 / count)


def _distribution(kind: str, sums: Array, drawn: Array) -> Iterator[tuple[str, _Found]]:
    """Mean, deviation and maximum. sums: (L, 4), see `_COLUMNS`."""
    number, total, squares, largest = sums.T
    n = int(number.sum())
    if not n:
        return
    mean = total.sum() / n
    means = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
    around = squares.sum() + (number * (means - mean) ** 2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = (drawn @ total) / (drawn @ number)
    yield f"{kind}_mean", _Found(float(mean), n, resampled)
    yield f"{kind}_std", _Found(math.sqrt(around / n), n)
    yield f"{kind}_max", _Found(float(largest.max()), n)


def _ratios(entry: Any, sizes: Mapping[str, Array], last: Mapping[str, Mapping[str, _Found]]) -> Iterator[Figure]:
    for pair in entry.compare:
        (count, _, total), (others, _, other) = sizes[pair.first], sizes[pair.second]
        if other > 0:
            value = float((total / count) / (other / others))
            yield Figure(f"{entry.name}_{pair.first}_over_{pair.second}/magnitude_mean", value, int(count))
        for name, first in last[pair.first].items():
            second = last[pair.second].get(name)
            if name not in entry.statistics or second is None or second.value == 0:
                continue
            if first.resampled is not None and second.resampled is not None:
                with np.errstate(divide="ignore", invalid="ignore"):
                    found = _Found(first.value / second.value, first.n, first.resampled / second.resampled)
                figure = found.figure(f"{entry.name}_{pair.first}_over_{pair.second}/{name}/last")
                if figure.interval is not None:
                    yield figure


def drawn_layers(layers: int, replicates: int, seed: int) -> Array:
    """(B, L): how often each layer is drawn in each replicate, L draws with replacement.

    By the Mersenne twister of the seed, 32 bits a draw, modulo L, which is what the draw of the figures does.
    """
    bits = np.random.RandomState(seed % 2**32).randint(0, 2**32, size=(replicates, layers), dtype=np.uint32)
    drawn = bits % max(layers, 1)
    return np.stack([np.bincount(row, minlength=layers) for row in drawn]).astype(np.float64)


def _middle(values: Array) -> tuple[float, float] | None:
    """Percentiles 2.5 and 97.5; None where a replicate has no value."""
    if not len(values) or not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
