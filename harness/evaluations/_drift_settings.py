"""What a spec declares of drift: groups of weights, their comparisons, and the statistics, by the names of metrics."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field, model_validator

from harness import plugins
from harness.spec.common import MOST, Name, Strict
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.region import WeightRegion

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
    replicates: int = Field(default=1000, gt=0, le=MOST)
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
