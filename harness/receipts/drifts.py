"""Receipt of drift: figures of two checkpoints made a second time in numpy, from their tensors on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.receipts.drift_intervals import LARGEST, STATISTICS, Replicates, drawn_layers, replicates_of
from harness.spec.measurement import Measurement
from harness.spec.receipt import LookedAt, StageReceipt

#: What a figure may be off, as a share of it: products are summed in another order, and a merge in 16 bits rounds.
MOST_OFF = {"float32": 1e-3, "bfloat16": 2e-2}
_SHOWN, _TRIMMED = 2, 0.01
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Array = NDArray[np.float64]


class Moved(Protocol):
    """A checkpoint, as far as this receipt asks it."""

    def update(self, layer: str, intact: Tensor) -> Tensor:
        """The float32 change of a layer up to this step."""


@dataclass(frozen=True)
class Groups:
    """Places in flattened matrices by group and layer, and the weights before anything moved, by parameter.

    layers: all linear ones, in the model's order, which intervals are resampled over.
    """

    places: Mapping[str, Mapping[str, Tensor]]
    intact: Mapping[str, Tensor]
    layers: Sequence[str]


def places_again(settings: Any, find_masks: Callable[[Any], Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """(n,) places in the flattened matrix of each layer, by group, of the model as it is: the intact one."""
    return {
        group.name: {
            layer: torch.from_numpy(np.flatnonzero(mask.cpu().numpy()))
            for layer, mask in find_masks(group.region).items()
        }
        for group in settings.groups
    }


def figures_again(
    settings: Any, groups: Groups, checkpoints: Mapping[int, Moved], of: int, measurements: Sequence[Measurement]
) -> StageReceipt:
    """Whether sizes, statistics and ratios are those of the weights of each group.

    settings: of the evaluation. checkpoints: those that are looked at, by their numbers, of so many. Ratios are of the
    last one.
    """
    told = {measured.metric: measured for measured in measurements}
    most, compared, problems = MOST_OFF[settings.merge_dtype], 0, list[str]()
    intervals = _Intervals(settings, groups, told, most)
    for number, moved in checkpoints.items():
        for name, places in groups.places.items():
            before, change = _weights(places, groups.intact, moved, _DTYPES[settings.merge_dtype])
            for metric, value, n in _expected(settings, name, number, before, change):
                if metric in told:
                    compared += 1
                    problems += _departs(told[metric], value, n, most)
            problems += intervals.off(name, number, before, change)
    problems += intervals.ratios_off(of)
    for metric, value in _ratios(settings, told, of):
        compared += 1
        problems += _departs(told[metric], value, told[metric].n, 1e-9)
    return StageReceipt(
        stage="scorer",
        name="drift-figures",
        holds=not problems,
        expected=f"{compared} figures of weights and their change, as {len(checkpoints)} of {of} checkpoints have them",
        seen="; ".join(problems[:_SHOWN]) or "them",
        advice="look at which weights a group holds, at which checkpoint is read, and at what a change is divided by",
        evidence={"figures": compared, "otherwise": len(problems)},
        looked_at=(
            LookedAt(what="checkpoints", seen=len(checkpoints), of=of),
            *([LookedAt(what="resampled intervals", seen=intervals.seen, of=intervals.of)] if intervals.of else []),
        ),
    )


class _Intervals:
    """Those of medians, trimmed means and their ratios, of the checkpoints that are looked at. seen, of: how many."""

    def __init__(self, settings: Any, groups: Groups, told: Mapping[str, Measurement], most: float) -> None:
        self._settings, self._told, self._most = settings, told, most
        self._drawn = drawn_layers(len(groups.layers), settings.replicates, settings.seed)
        place = {name: number for number, name in enumerate(groups.layers)}
        self._layer = {
            group: np.concatenate([np.full(len(chosen), place[name]) for name, chosen in by_layer.items()])
            for group, by_layer in groups.places.items()
        }
        self._found: dict[tuple[str, str, int], Replicates] = {}
        self.seen = self.of = 0

    def off(self, group: str, number: int, before: Array, change: Array) -> list[str]:
        """What is wrong with those of a group at a checkpoint."""
        size, absolute, layer = np.abs(before), np.abs(change), self._layer[group]
        kinds = {"absolute": (absolute, layer), "relative": (absolute[size > 0] / size[size > 0], layer[size > 0])}
        problems: list[str] = []
        for kind, (values, own) in kinds.items():
            names = [f"{kind}_{name}" for name in STATISTICS]
            wanted = {name: self._settings.metric(group, name, number) for name in names}
            asked = {*self._settings.statistics, *self._settings.compared}
            if not len(values) or asked.isdisjoint(names):
                continue
            few = len(values) * len(self._drawn) <= LARGEST
            made = dict(replicates_of(values, own, self._drawn)) if few else {}
            for name, statistic in zip(names, STATISTICS, strict=True):
                if few:
                    self._found[group, name, number] = made[statistic]
                problems += self._wrong(wanted[name], made.get(statistic))
        return problems

    def ratios_off(self, last: int) -> list[str]:
        """What is wrong with the ratios at the last checkpoint."""
        problems: list[str] = []
        for pair in self._settings.compare:
            for name in self._settings.compared:
                first, second = (self._found.get((side, name, last)) for side in (pair.first, pair.second))
                if name.partition("_")[2] in STATISTICS:
                    own = first.over(second) if first and second else None
                    problems += self._wrong(self._settings.ratio_metric(pair, name), own)
        return problems

    def _wrong(self, metric: str, own: Replicates | None) -> list[str]:
        told = self._told.get(metric)
        if told is None:
            return []
        self.of, self.seen = self.of + 1, self.seen + (own is not None)
        right = own is None or own.holds(told.interval, self._most)
        return [] if right else [f"the interval of {metric} {told.interval} is none of resampled layers"]


def _weights(
    places: Mapping[str, Tensor], intact: Mapping[str, Tensor], moved: Moved, dtype: torch.dtype
) -> tuple[Array, Array]:
    """w and Δw of a group as they are stored in a dtype, (n,), in the order of its layers."""
    before, after = list[Tensor](), list[Tensor]()
    for layer, chosen in places.items():
        if len(chosen):
            weight = intact[f"{layer}.weight"].cpu()
            merged = weight.to(dtype).float() + moved.update(layer, weight)
            before.append(weight.to(dtype).float().flatten()[chosen])
            after.append(merged.to(dtype).float().flatten()[chosen])
    own, then = (torch.cat(parts).numpy().astype(np.float64) for parts in (before, after))
    return own, then - own


def _expected(
    settings: Any, group: str, number: int, before: Array, change: Array
) -> Iterator[tuple[str, float, int | None]]:
    """(metric, value, n) of everything that the settings ask of a group. n of a relative figure: weights not 0."""
    n, absolute, size = len(before), np.abs(change), np.abs(before)
    yield settings.size_metric(group, "count"), float(n), n
    yield settings.size_metric(group, "zero_weights"), float((size == 0).sum()), n
    relative = absolute[size > 0] / size[size > 0]
    values = {"unchanged_share": (float((change == 0).mean()), n)}
    if len(relative):
        values["norm_ratio"] = (float(np.linalg.norm(change) / np.linalg.norm(before)), n)
    for kind, numbers in (("absolute", absolute), ("relative", relative)):
        if len(numbers):
            values |= {f"{kind}_{name}": (value, len(numbers)) for name, value in _statistics(numbers)}
    for statistic in settings.statistics:
        if statistic in values:
            yield settings.metric(group, statistic, number), *values[statistic]


def _statistics(numbers: Array) -> Iterator[tuple[str, float]]:
    yield "mean", float(np.mean(numbers))
    yield "std", float(np.std(numbers))
    yield "max", float(np.max(numbers))
    yield "median", float(np.median(numbers))
    yield "trimmed_mean", float(np.mean(np.sort(numbers)[: len(numbers) - int(_TRIMMED * len(numbers))]))
    for percent in (5, 25, 75, 95, 99):
        yield f"q{percent:02d}", float(np.percentile(numbers, percent))


def _ratios(settings: Any, told: Mapping[str, Measurement], last: int) -> Iterator[tuple[str, float]]:
    for pair in settings.compare:
        for statistic in settings.compared:
            metric = settings.ratio_metric(pair, statistic)
            first, second = (told.get(settings.metric(side, statistic, last)) for side in (pair.first, pair.second))
            if metric in told and first and second and first.value is not None and second.value:
                yield metric, first.value / second.value


def _departs(measured: Measurement, value: float, n: int | None, most: float) -> list[str]:
    """What is wrong with a figure; nothing where it is `value` of n, but for `most` of it."""
    seen = measured.value
    if seen is not None and measured.n == n and abs(seen - value) <= most * abs(value) + _rank(measured, most):
        return []
    return [f"{measured.metric} {seen} of {measured.n} where the weights give {value:.6g} of {n}"]


def _rank(measured: Measurement, most: float) -> float:
    """How far a quantile moves if a value passes from one side of it to the other; 0 of other figures."""
    if measured.neighbours is None or most < 1e-6:
        return 0.0
    return measured.neighbours[1] - measured.neighbours[0]
