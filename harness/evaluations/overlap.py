"""Overlap of two regions of the intact model, by layer (figure 4a): no text is generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import UserError
from harness.evaluations import base
from harness.evaluations._overlap_figures import (
    Measure,
    overlap_counts,
    overlap_measurements,
    overlap_metrics,
    overlap_prefixes,
)
from harness.evaluations.base import EvaluationContext, EvaluationResult
from harness.spec.common import Name
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.measurement import Measurement
from harness.spec.receipt import StageReceipt
from harness.spec.region import WeightRegion

if TYPE_CHECKING:
    from harness.receipts.observed_engine import Observed


class Settings(DeclaredEvaluation):
    """Two regions of weights, and what is measured of their overlap: see `Measure`."""

    measured_in: ClassVar[Literal["any", "intact", "fine_tuned"]] = "intact"

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
    def metrics(self) -> list[str]:
        """Names of the metrics that every model gives; one for each layer comes on top."""
        return overlap_metrics(self.name, self.measures)

    @property
    def metric_prefixes(self) -> list[str]:
        """What the names of the metrics of single layers begin with."""
        return overlap_prefixes(self.name, self.measures)


class Evaluation(base.Evaluation[Settings]):
    """Regions of the intact model, set beside each other."""

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """See `overlap_measurements` and `overlap_counts`."""
        from harness.formulas.overlap import overlap_by_layer

        settings = self.settings
        if context.find_masks is None:
            raise UserError(f"the evaluation {settings.name!r} needs regions, and this context finds none")
        first, second = (context.find_masks(region) for region in settings.regions)
        by_layer = overlap_by_layer(first, second)
        return EvaluationResult(
            raw=tuple(overlap_counts(settings.name, by_layer)),
            measurements=tuple(overlap_measurements(settings.name, settings.measures, by_layer)),
        )

    def receipts(
        self, context: EvaluationContext, observed: Observed, measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """The weights that both regions hold, counted again."""
        from harness.receipts.overlaps import Compared, counted

        if context.find_masks is None:
            return []
        settings = self.settings
        first, second = (context.find_masks(region) for region in settings.regions)
        return [counted([Compared(settings.name, settings.measures, first, second)], measurements)]
