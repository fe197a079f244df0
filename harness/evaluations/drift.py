"""Drift: how far groups of weights moved in a fine-tuning, at each of its checkpoints (the report's extension 2).

Weights are gathered layer by layer from the checkpoints on disk; no second copy of the model is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.evaluations import base
from harness.evaluations._drift_settings import SIZES
from harness.evaluations._drift_settings import Comparison as Comparison
from harness.evaluations._drift_settings import Settings as Settings
from harness.evaluations.base import EvaluationContext, EvaluationResult, finite
from harness.spec.measurement import Measurement, RawValues
from harness.spec.receipt import StageReceipt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.finetuning.checkpoints import Checkpoint
    from harness.formulas.drift import Figure
    from harness.receipts.observed_engine import Observed
    from harness.spec.region import WeightRegion

#: Places of a group's weights in the flattened matrix of each layer, by group and layer.
Places = dict[str, dict[str, "Tensor"]]


@dataclass(frozen=True)
class Prepared:
    """Where the weights of each group are in the intact model. again: found once more, for receipts."""

    places: Places
    again: Mapping[str, Mapping[str, Tensor]]


class Evaluation(base.Evaluation[Settings]):
    """Weights before a fine-tuning and at its checkpoints."""

    prepares = True

    def prepare(self, context: EvaluationContext) -> Prepared:
        """Where the groups' weights are in the intact model, and once more for its receipts."""
        from harness.models.layers import linear_layers
        from harness.receipts.drifts import places_again

        if context.find_masks is None or context.model is None:
            raise UserError(f"the evaluation {self.settings.name!r} needs regions, and this context finds none")
        again = places_again(self.settings, context.find_masks)
        return Prepared(self._places(list(linear_layers(context.model)), context.find_masks), again)

    def _places(self, layers: list[str], find_masks: Callable[[WeightRegion], Mapping[str, Tensor]]) -> Places:
        """Where the groups' weights are, in the order of the layers; a group must hold at least one."""
        settings = self.settings
        places: Places = {}
        for group in settings.groups:
            masks = find_masks(group.region)
            selected = {name: masks[name] for name in layers if name in masks and masks[name].any()}
            places[group.name] = {name: mask.cpu().flatten().nonzero().squeeze(1) for name, mask in selected.items()}
            if not places[group.name]:
                raise UserError(
                    f"{settings.name}: the group {group.name} holds no weight; give a larger share, or "
                    "comparison_group: matrix where a row is too short for one weight of it"
                )
        return places

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """The settings' metrics of a cell whose fine-tuning saved checkpoints; of any other cell nothing.

        n counts the weights of the group, of relative statistics those that are not 0. A ratio whose denominator, or
        one that resampling gives, is 0 is not there. Raw values: of `/checkpoint<number>` under the number
        of its step the number of layers; of `<group>` under the number of a layer how many weights, how many are 0, and
        Σ |w|; and of `<group>/checkpoint<number>` `sums_by_layer`.
        """
        from harness.formulas.drift import group_figures, resampled_layers
        from harness.models.layers import linear_layers

        settings = self.settings
        if context.training is None or context.model is None or not context.training.checkpoints:
            return EvaluationResult()
        layers = list(linear_layers(context.model))
        places: Places = context.prepared[settings.name].places
        before = _before(places, layers, context.training.intact)
        resampled = resampled_layers(len(layers), settings.replicates, settings.seed)
        measurements = [m for group, weights in before.items() for m in _sizes(settings, group, weights.values)]
        raw = [
            row for group, weights in before.items() for row in _sizes_by_layer(settings, group, weights, len(layers))
        ]
        figures: dict[str, dict[str, Figure]] = {}
        for number, checkpoint in enumerate(context.training.checkpoints, start=1):
            measurements.append(Measurement(metric=settings.step_metric(number), value=float(checkpoint.step), n=1))
            row = RawValues(evaluation=settings.name, part=f"/checkpoint{number}", index=checkpoint.step, n=len(layers))
            updates = _updates(checkpoint, layers, places, context.training.intact)
            moved = {group: _moved(settings, before[group], update) for group, update in updates.items()}
            raw += [row, *_sums(settings, number, moved, len(layers))]
            figures = {group: group_figures(*parts, resampled) for group, parts in moved.items()}
            for group, by_name in figures.items():
                measurements += [
                    _measurement(settings.metric(group, statistic, number), by_name[statistic])
                    for statistic in settings.statistics
                    if statistic in by_name
                ]
        return EvaluationResult(raw=tuple(raw), measurements=(*measurements, *_ratios(settings, before, figures)))

    def receipts(
        self, context: EvaluationContext, observed: Observed, measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """All figures of the last checkpoint and of one that is drawn for the cell, and all ratios."""
        from harness.formulas.draws import drawn
        from harness.models.layers import linear_layers
        from harness.receipts.drifts import Groups, figures_again

        settings, training = self.settings, context.training
        if training is None or not training.checkpoints:
            return []
        count = len(training.checkpoints)
        places = {*drawn(context.cell, f"checkpoint of {settings.name}", count - 1, 1), count - 1}
        looked_at = {place + 1: training.checkpoints[place] for place in sorted(places)}
        layers = list(linear_layers(context.model)) if context.model is not None else []
        groups = Groups(context.prepared[settings.name].again, training.intact, layers)
        return [figures_again(settings, groups, looked_at, count, measurements)]


@dataclass(frozen=True)
class _Before:
    """A group's weights, (n,), before anything moved, and the number of the layer that each is in."""

    values: Tensor
    layer: Tensor


def _before(places: Places, layers: list[str], intact: Mapping[str, Tensor]) -> dict[str, _Before]:
    import torch

    return {
        group: _Before(
            torch.cat([intact[f"{name}.weight"].flatten()[index] for name, index in by_layer.items()]),
            torch.cat([torch.full(index.shape, layers.index(name)) for name, index in by_layer.items()]),
        )
        for group, by_layer in places.items()
    }


def _updates(
    checkpoint: Checkpoint, layers: list[str], places: Places, intact: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The update of each group's weights, (n,). One layer's is in memory at a time, and of each group its own."""
    import torch

    updates: dict[str, list[Tensor]] = {group: [] for group in places}
    for name in layers:
        wanted = [group for group, by_layer in places.items() if name in by_layer]
        if wanted:
            update = checkpoint.update(name, intact[f"{name}.weight"]).flatten()
            for group in wanted:
                updates[group].append(update[places[group][name]])
    return {group: torch.cat(parts) for group, parts in updates.items()}


def _moved(settings: Settings, before: _Before, update: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n,) each: w and Δw of a group in the dtype of the merge, and the number of each weight's layer."""
    import torch

    from harness.formulas.drift import change_of_merged

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.merge_dtype]
    return before.values.to(dtype), change_of_merged(before.values, update, dtype), before.layer


def _sums(
    settings: Settings, number: int, moved: Mapping[str, tuple[Tensor, Tensor, Tensor]], layers: int
) -> Iterator[RawValues]:
    """Of every group at a checkpoint, by layer."""
    from harness.formulas.drift import sums_by_layer

    for group, parts in moved.items():
        for layer, values in enumerate(sums_by_layer(*parts, layers).tolist()):
            if values[0]:
                part = f"{group}/checkpoint{number}"
                yield RawValues(evaluation=settings.name, part=part, index=layer, values=finite(values))


def _sizes_by_layer(settings: Settings, group: str, before: _Before, layers: int) -> Iterator[RawValues]:
    import torch

    magnitude = before.values.double().abs()
    columns = [torch.bincount(before.layer, weights, minlength=layers) for weights in (None, magnitude == 0, magnitude)]
    for layer, (count, zeros, total) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        if count:
            yield RawValues(evaluation=settings.name, part=group, index=layer, values=(count, zeros, total))


def _sizes(settings: Settings, group: str, weights: Tensor) -> Iterator[Measurement]:
    """How many weights there are, how many of them are 0, and their mean magnitude."""
    n = weights.numel()
    values: dict[str, Any] = {
        "count": n,
        "zero_weights": (weights == 0).sum(),
        "magnitude_mean": weights.double().abs().mean(),
    }
    for size in SIZES:
        yield Measurement(metric=settings.size_metric(group, size), value=float(values[size]), n=n)


def _ratios(
    settings: Settings, before: Mapping[str, _Before], figures: Mapping[str, Mapping[str, Figure]]
) -> Iterator[Measurement]:
    from harness.formulas.drift import ratio

    for pair in settings.compare:
        mean, other_mean = (before[side].values.double().abs().mean() for side in (pair.first, pair.second))
        if other_mean > 0:
            yield Measurement(
                metric=settings.size_ratio_metric(pair),
                value=float(mean / other_mean),
                n=before[pair.first].values.numel(),
            )
        for statistic in settings.compared:
            first, second = (figures[side].get(statistic) for side in (pair.first, pair.second))
            found = ratio(first, second) if first and second else None
            if found is not None:
                yield _measurement(settings.ratio_metric(pair, statistic), found)


def _measurement(metric: str, figure: Figure) -> Measurement:
    return Measurement(
        metric=metric,
        value=figure.value,
        n=figure.n,
        interval=figure.interval,
        resolution=figure.resolution,
        neighbours=figure.neighbours,
    )
