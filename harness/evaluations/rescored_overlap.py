"""How much of the intact model's regions is found again when the model of the cell is scored anew.

Extension 1 of the reproduction report: regions before and after fine-tuning, on the same calibration samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import UserError
from harness.evaluations import base
from harness.evaluations._overlap_figures import Measure, overlap_measurements, overlap_metrics, overlap_prefixes
from harness.evaluations.base import EvaluationContext, EvaluationResult, Scoring, Sizes
from harness.formulas.work import Work
from harness.spec.common import Name
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.measurement import Measurement, RawValues
from harness.spec.receipt import LookedAt, StageReceipt
from harness.spec.region import ScoredWeightRegion

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from harness.receipts.observed_engine import Observed


@dataclass(frozen=True)
class IntactRegion:
    """A region of the intact model: masks (d_out, d_in) bool by layer, and its weights there, (selected,) by layer.

    All lie on the CPU; the weights are a copy. again: masks that were found once more, for receipts.
    """

    masks: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    again: Mapping[str, Tensor]


class Settings(DeclaredEvaluation):
    """Regions, each by the name that its metrics begin with, and what is measured of before and after.

    "Before" is the region of the intact model, "after" the region of the same declaration with the scores of the
    model as it is in the cell. overlap_share is |before ∩ after| / |before|. Where both hold as many weights, as
    two tops do, an overlap o makes a Jaccard index of o / (2 − o); two set differences may differ in size.
    """

    compares_with_intact: ClassVar[bool] = True

    kind: Literal["rescored_overlap"]
    name: Name = "rescored"
    compared: dict[Name, ScoredWeightRegion] = Field(min_length=1)
    measures: tuple[Measure, ...] = Field(default=("overlap_share", "jaccard"), min_length=1)

    @property
    def regions(self) -> list[ScoredWeightRegion]:
        """The regions of the intact model that have to be found."""
        return list(self.compared.values())

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that every model gives; one for each layer comes on top."""
        return [
            metric
            for name in self.compared
            for metric in (*overlap_metrics(name, self.measures), unchanged_metric(name))
        ]

    @property
    def metric_prefixes(self) -> list[str]:
        """What the names of the metrics of single layers begin with."""
        return [prefix for name in self.compared for prefix in overlap_prefixes(name, self.measures)]


def unchanged_metric(name: str) -> str:
    """What the share of a region's weights that kept every bit is called."""
    return f"{name}_unchanged_share"


class Evaluation(base.Evaluation[Settings]):
    """Regions of the intact model, and of the model that it has become."""

    prepares = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._after: dict[str, Mapping[str, Tensor]] = {}  # what `measure` found, for its receipts

    def prepare(self, context: EvaluationContext) -> dict[str, IntactRegion]:
        """The regions of the intact model by name, with the weights that they hold."""
        from harness.models.layers import linear_layers

        settings = self.settings
        if context.model is None or context.find_masks is None:
            raise UserError(f"the evaluation {settings.name!r} needs regions, and this context finds none")
        layers, found = linear_layers(context.model), {}
        for name, region in settings.compared.items():
            masks = context.find_masks(region)
            weights = {
                layer: layers[layer].weight.detach()[mask.to(layers[layer].weight.device)].cpu()
                for layer, mask in masks.items()
            }
            found[name] = IntactRegion(masks, weights, context.find_masks(region))
        return found

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """For each region `<region>_overlap_share` and `<region>_jaccard` (see `overlap_measurements`), and
        `<region>_unchanged_share`: of the weights that were in it before, those that have every bit as before.

        Frozen weights keep their values, not their scores: |W ∘ ∇L| has the gradient of the model around them.
        Raw values, of `<region>/<layer>`: |before|, |after|, |before ∩ after|, and how many of before kept every bit.
        """
        from harness.formulas.overlap import overlap_by_layer

        settings = self.settings
        self._after.clear()
        if context.model is None or context.masks_anew is None:
            raise UserError(f"the evaluation {settings.name!r} scores the model, and this context holds none")
        measurements: list[Measurement] = []
        raw: list[RawValues] = []
        regions: Mapping[str, IntactRegion] = context.prepared[settings.name]
        for (name, before), after in zip(regions.items(), context.masks_anew(settings.regions), strict=True):
            self._after[name] = after
            by_layer = overlap_by_layer(before.masks, after)
            kept = _kept_every_bit(before, context.model)
            measurements += overlap_measurements(name, settings.measures, by_layer)
            measurements.append(_unchanged(name, before, sum(kept.values())))
            for layer, counts in by_layer.items():
                values = (counts.first, counts.second, counts.both, kept.get(layer, 0))
                raw.append(RawValues(evaluation=settings.name, part=f"{name}/{layer}", values=values))
        return EvaluationResult(raw=tuple(raw), measurements=tuple(measurements))

    def receipts(
        self, context: EvaluationContext, observed: Observed, measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """Counts of each region before and after, bits that were kept, and plain scores of the model as it is."""
        from harness.models.layers import linear_layers
        from harness.receipts.overlaps import Compared, counted, kept_bits, scored_anew
        from harness.receipts.scores_in_use import masks_now

        settings, reference = self.settings, context.reference
        if context.model is None:
            return []
        regions: Mapping[str, IntactRegion] = context.prepared[settings.name]
        layers, before = linear_layers(context.model), {name: region.again for name, region in regions.items()}
        pairs = [Compared(name, settings.measures, masks, self._after[name]) for name, masks in before.items()]
        receipts = [counted(pairs, measurements)]
        for name, known in regions.items():
            now = {layer: layers[layer].weight.detach().cpu()[mask.cpu()] for layer, mask in before[name].items()}
            receipts.append(kept_bits(unchanged_metric(name), known.weights, now, measurements))
        if reference is not None:
            block = reference.blocks_of(context.cell)[0]
            sixteen_bit = context.model.dtype.itemsize == 2
            made: dict[object, dict[str, Tensor] | None] = {}
            for name, region in settings.compared.items():
                plain = masks_now(reference, region, block, made)
                if plain is not None:
                    looked_at = LookedAt(what="blocks", seen=1, of=reference.blocks)
                    receipts.append(scored_anew(self._after[name], plain, before[name], looked_at, sixteen_bit))
        return receipts

    def work(self, sizes: Sizes, scoring: Scoring) -> Work:
        """The model of the cell is scored anew."""
        return scoring(self.settings.regions)


def _unchanged(name: str, before: IntactRegion, kept: int) -> Measurement:
    """None where the region holds no weight."""
    total = sum(values.numel() for values in before.weights.values())
    return Measurement(
        metric=unchanged_metric(name),
        value=kept / total if total else None,
        n=total,
        resolution=1 / total if total else None,
    )


def _kept_every_bit(before: IntactRegion, model: PreTrainedModel) -> dict[str, int]:
    """By layer, how many weights of the region are bit by bit what they were."""
    from harness.finetuning.fine_tuning import bitwise_changed
    from harness.models.layers import linear_layers

    layers = linear_layers(model)
    now = {layer: layers[layer].weight[mask.to(layers[layer].weight.device)] for layer, mask in before.masks.items()}
    return {layer: int((~bitwise_changed(values, now[layer])).sum()) for layer, values in before.weights.items()}
