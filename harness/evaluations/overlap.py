"""Overlap of two regions of the intact model, by layer (figure 4a): no text is generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.errors import UserError
from harness.evaluations._layer_means import LayerFigure, layer_measurements, mean_metrics
from harness.evaluations.base import EvaluationContext, EvaluationResult
from harness.spec.common import Name, Strict
from harness.spec.region import WeightRegion, calibration_sets_of
from harness.spec.result import Measurement

if TYPE_CHECKING:
    from harness.formulas.overlap import Overlap

Measure = Literal["jaccard", "overlap_share"]


class Settings(Strict):
    """Two regions of weights, and what is measured of their overlap.

    jaccard: |first ∩ second| / |first ∪ second|. overlap_share: |first ∩ second| / |first|, the
    reproduction report's overlap percentage as a fraction.
    """

    kind: Literal["overlap"]
    name: Name = "overlap"
    first: WeightRegion
    second: WeightRegion
    measures: tuple[Measure, ...] = Field(default=("jaccard",), min_length=1)

    @property
    def regions(self) -> list[WeightRegion]:
        """The regions of the intact model that have to be found."""
        return [self.first, self.second]

    @property
    def calibration_sets(self) -> list[str]:
        """Names of the calibration sets that the regions are computed from."""
        return [name for region in self.regions for name in calibration_sets_of(region)]

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that have to be there besides those of the calibration sets."""
        return [dataset for region in self.regions for dataset in getattr(region, "datasets", [])]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that every model gives; one for each layer comes on top."""
        return [name for metric in self.measures for name in (f"{self.name}_{metric}",
                *mean_metrics(f"{self.name}_{metric}"))]  # fmt: skip

    @property
    def metric_prefixes(self) -> list[str]:
        """What the names of the metrics of single layers begin with."""
        return [f"{self.name}_{metric}/" for metric in self.measures]


def evaluate(settings: Settings, context: EvaluationContext) -> EvaluationResult:
    """For each measure that of the regions as wholes, `<name>_<measure>`, the means over layers, and each layer.

    Their n is the number of weights that they divide by: |first ∪ second|, or |first|. A layer for
    which that is 0 has no figure and counts in no mean.
    """
    from harness.formulas.overlap import Overlap, overlap_by_layer

    if context.find_masks is None:
        raise UserError(f"the evaluation {settings.name!r} needs regions, and this context finds none")
    first, second = (context.find_masks(region) for region in settings.regions)
    by_layer = overlap_by_layer(first, second)
    whole = sum(by_layer.values(), Overlap(0, 0, 0))
    measurements: list[Measurement] = []
    for measure in settings.measures:
        metric = f"{settings.name}_{measure}"
        figures = {name: figure for name, counts in by_layer.items() if (figure := _figure(measure, counts))}
        if total := _figure(measure, whole):
            measurements.append(Measurement(metric=metric, value=total.value, n=total.n))
        measurements += layer_measurements(metric, figures)
    return EvaluationResult(measurements=tuple(measurements))


def _figure(measure: Measure, counts: Overlap) -> LayerFigure | None:
    """None where nothing is divided by nothing."""
    value, n = (counts.jaccard, counts.union) if measure == "jaccard" else (counts.overlap_share, counts.first)
    return None if value is None else LayerFigure(value, n)
