"""Drift: how far groups of weights moved in a fine-tuning, at each of its checkpoints (the report's extension 2).

Weights are gathered layer by layer from the checkpoints on disk; no second copy of the model is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from harness import plugins
from harness.errors import UserError
from harness.evaluations import base
from harness.evaluations.base import EvaluationContext, EvaluationResult
from harness.spec.common import Name, Strict
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.measurement import Measurement
from harness.spec.region import WeightRegion

if TYPE_CHECKING:
    from torch import Tensor

    from harness.finetuning.checkpoints import Checkpoint
    from harness.formulas.drift import Figure

Statistic = Literal[
    "absolute_mean",
    "absolute_std",
    "absolute_median",
    "absolute_q05",
    "absolute_q25",
    "absolute_q75",
    "absolute_q95",
    "absolute_q99",
    "absolute_max",
    "relative_mean",
    "relative_std",
    "relative_median",
    "relative_q05",
    "relative_q25",
    "relative_q75",
    "relative_q95",
    "relative_q99",
    "relative_max",
    "relative_trimmed_mean",
    "norm_ratio",
    "unchanged_share",
]
#: The statistics that have intervals, by which two groups can be compared.
COMPARED: tuple[Statistic, ...] = (
    "relative_mean",
    "relative_trimmed_mean",
    "relative_median",
    "norm_ratio",
    "absolute_mean",
    "absolute_median",
)
#: What is measured of a group before anything moves.
SIZES = ("count", "zero_weights", "magnitude_mean")

#: Places of a group's weights in the flattened matrix of each layer, by group and layer.
Places = dict[str, dict[str, "Tensor"]]


class Group(Strict):
    """Weights of the intact model under a name that becomes part of metrics."""

    name: Name
    region: WeightRegion


class Comparison(Strict):
    """Two groups whose statistics are divided, first by second."""

    first: Name
    second: Name

    @property
    def name(self) -> str:
        """As metrics have it."""
        return f"{self.first}_over_{self.second}"


class Settings(DeclaredEvaluation):
    """Statistics of |Δw| and |Δw| / |w| of groups of weights at numbered checkpoints.

    checkpoints: how many each fine-tuning saves; their steps are figures too.
    merge_dtype: the weights that are compared hold W₀ + update in this dtype; `bfloat16` is what the report did.
    replicates, seed: of the resampling of layers that intervals rest on.
    """

    measured_in: ClassVar[Literal["any", "intact", "fine_tuned"]] = "fine_tuned"

    kind: Literal["drift"]
    name: Name = "drift"
    checkpoints: int = Field(gt=0)
    merge_dtype: Literal["float32", "bfloat16"] = "float32"
    groups: tuple[Group, ...] = Field(min_length=1)
    compare: tuple[Comparison, ...] = ()
    statistics: tuple[Statistic, ...] = Field(default=get_args(Statistic), min_length=1)
    replicates: int = Field(default=1000, gt=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def groups_are_named_once(self) -> Settings:
        """Comparisons lead to groups, and each group and comparison stands there once."""
        names = [group.name for group in self.groups]
        pairs = [comparison.name for comparison in self.compare]
        if len(set(names)) < len(names) or len(set(pairs)) < len(pairs):
            raise ValueError("a group or a comparison is given twice; expected each once")
        for comparison in self.compare:
            for side in (comparison.first, comparison.second):
                if side not in names:
                    raise ValueError(f"no group {side!r} to compare; {plugins.suggestion(side, names)}")
        return self

    @property
    def regions(self) -> list[WeightRegion]:
        """The regions of the intact model that have to be found."""
        return [group.region for group in self.groups]

    @property
    def calibration_sets(self) -> list[str]:
        """Names of the calibration sets that the regions are computed from."""
        return [name for region in self.regions for name in region.calibration_sets]

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that have to be there besides those of the calibration sets."""
        return [dataset for region in self.regions for dataset in region.datasets]

    @property
    def checkpoints_needed(self) -> int:
        """As declared: metrics are numbered by it."""
        return self.checkpoints

    @property
    def compared(self) -> list[Statistic]:
        """The statistics of a comparison."""
        return [statistic for statistic in COMPARED if statistic in self.statistics]

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, none of which depends on the model."""
        numbers = range(1, self.checkpoints + 1)
        return [
            *(self.step_metric(number) for number in numbers),
            *(self.size_metric(group.name, size) for group in self.groups for size in SIZES),
            *(
                self.metric(group.name, statistic, number)
                for number in numbers
                for group in self.groups
                for statistic in self.statistics
            ),
            *(self.size_ratio_metric(pair) for pair in self.compare),
            *(self.ratio_metric(pair, statistic) for pair in self.compare for statistic in self.compared),
        ]

    @property
    def conditional_metrics(self) -> list[str]:
        """Metrics that a cell may not give: a ratio to 0, a figure relative to weights that are all 0, and all of
        checkpoints behind the first, of which a fine-tuning without a step saves none.
        """
        always = {self.step_metric(1), *(self.size_metric(group.name, size) for group in self.groups for size in SIZES)}
        return [metric for metric in self.metrics if metric not in always]

    def step_metric(self, checkpoint: int) -> str:
        """Optimizer steps that had been taken at a checkpoint, counted from 1."""
        return f"{self.name}/step/checkpoint{checkpoint}"

    def size_metric(self, group: str, size: str) -> str:
        """One of SIZES of a group."""
        return f"{self.name}_{group}/{size}"

    def metric(self, group: str, statistic: str, checkpoint: int) -> str:
        """A statistic of a group at a checkpoint, counted from 1."""
        return f"{self.name}_{group}/{statistic}/checkpoint{checkpoint}"

    def size_ratio_metric(self, pair: Comparison) -> str:
        """Mean |w| of one group divided by that of another, before anything moved: 1 where they are matched."""
        return f"{self.name}_{pair.name}/magnitude_mean"

    def ratio_metric(self, pair: Comparison, statistic: str) -> str:
        """A statistic of one group divided by that of another, at the last checkpoint."""
        return f"{self.name}_{pair.name}/{statistic}/last"


class Evaluation(base.Evaluation[Settings]):
    """Weights before a fine-tuning and at its checkpoints."""

    prepares = True

    def prepare(self, context: EvaluationContext) -> Places:
        """Where the groups' weights are in the intact model, layers in its order; a group must hold at least one."""
        from harness.models.layers import linear_layers

        settings = self.settings
        if context.find_masks is None or context.model is None:
            raise UserError(f"the evaluation {settings.name!r} needs regions, and this context finds none")
        places: Places = {}
        for group in settings.groups:
            masks = context.find_masks(group.region)
            selected = {
                name: masks[name] for name in linear_layers(context.model) if name in masks and masks[name].any()
            }
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
        one that resampling gives, is 0 is not there.
        """
        from harness.formulas.drift import resampled_layers
        from harness.models.layers import linear_layers

        settings = self.settings
        if context.training is None or context.model is None or not context.training.checkpoints:
            return EvaluationResult()
        layers = list(linear_layers(context.model))
        places: Places = context.prepared[settings.name]
        before = _before(places, layers, context.training.intact)
        resampled = resampled_layers(len(layers), settings.replicates, settings.seed)
        measurements = [m for group, weights in before.items() for m in _sizes(settings, group, weights.values)]
        figures: dict[str, dict[str, Figure]] = {}
        for number, checkpoint in enumerate(context.training.checkpoints, start=1):
            measurements.append(Measurement(metric=settings.step_metric(number), value=float(checkpoint.step), n=1))
            updates = _updates(checkpoint, layers, places, context.training.intact)
            figures = {group: _figures(settings, before[group], update, resampled) for group, update in updates.items()}
            for group, by_name in figures.items():
                measurements += [
                    _measurement(settings.metric(group, statistic, number), by_name[statistic])
                    for statistic in settings.statistics
                    if statistic in by_name
                ]
        return EvaluationResult(measurements=(*measurements, *_ratios(settings, before, figures)))


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


def _figures(settings: Settings, before: _Before, update: Tensor, resampled: Tensor) -> dict[str, Figure]:
    import torch

    from harness.formulas.drift import change_of_merged, group_figures

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.merge_dtype]
    change = change_of_merged(before.values, update, dtype)
    return group_figures(before.values.to(dtype), change, before.layer, resampled)


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
