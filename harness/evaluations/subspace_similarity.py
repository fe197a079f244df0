"""Similarity of utility and safety subspaces of the intact model, by layer (figure 4b): no text is generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import UserError
from harness.evaluations import base
from harness.evaluations._layer_means import LayerFigure, layer_measurements, mean_metrics
from harness.evaluations.base import EvaluationContext, EvaluationResult
from harness.spec.common import Name
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.measurement import Measurement, RawValues
from harness.spec.receipt import StageReceipt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.receipts.observed_engine import Observed

Rank = Annotated[int, Field(gt=0)]


class Settings(DeclaredEvaluation):
    """Between the top r directions of W X_in on two calibration sets, for every r of `ranks`.

    of_directions: R of the model for which `ranks` are written; a layer with R' = min(d_out, d_in)
    directions gets max(1, round(r R' / R)) of them, so that the paper's rank 100 of 4096 means as large
    a part of another model. Without it every layer gets r, and has to have as many.
    """

    measured_in: ClassVar[Literal["any", "intact", "fine_tuned"]] = "intact"

    kind: Literal["subspace_similarity"]
    name: Name = "similarity"
    utility: str
    safety: str
    ranks: tuple[Rank, ...] = Field(min_length=1)
    of_directions: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def ranks_can_be(self) -> Settings:
        """Each rank once, since metrics are named by it, and none above R."""
        if len(set(self.ranks)) < len(self.ranks):
            raise ValueError(f"ranks are {list(self.ranks)}; expected each once")
        if self.of_directions is not None and max(self.ranks) > self.of_directions:
            raise ValueError(f"ranks go to {max(self.ranks)}; expected at most of_directions, {self.of_directions}")
        return self

    @property
    def calibration_sets(self) -> list[str]:
        """Names of the calibration sets that the subspaces are computed from."""
        return [self.utility, self.safety]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that every model gives; one for each layer and rank comes on top."""
        return [name for rank in self.ranks for name in mean_metrics(self.metric(rank))]

    @property
    def metric_prefixes(self) -> list[str]:
        """What the names of the metrics of single layers begin with."""
        return [f"{self.metric(rank)}/" for rank in self.ranks]

    def metric(self, rank: int) -> str:
        """What the figures of one of `ranks` are called."""
        return f"{self.name}_rank{rank}"

    def rank_in_layer(self, rank: int, directions: int) -> int:
        """How many of its R' `directions` a layer has in one of `ranks`."""
        return rank if self.of_directions is None else max(1, round(rank * directions / self.of_directions))


class Evaluation(base.Evaluation[Settings]):
    """Subspaces of the intact model, from the Gram matrices of its layer inputs."""

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """φ = ||U_uᵀ U_s||_F² / r of every layer, `<name>_rank<r>/model.layers.3.mlp.up_proj`, and its means.

        A layer's n is its rank r, the number of principal angles whose squared cosines φ is the mean of.
        Raw values, of every layer and rank: of each utility direction the part that lies in the safety subspace,
        ||U_sᵀ u||², which φ is the mean of; n is the layer's R.
        Raises UserError where a layer has fewer directions than a rank asks for.
        """
        import torch

        from harness.models.layers import linear_layers

        settings = self.settings
        if context.model is None or context.grams is None:
            raise UserError(f"the evaluation {settings.name!r} looks inside the model, and this context holds none")
        utility, safety = context.grams(settings.utility), context.grams(settings.safety)
        figures: dict[int, dict[str, LayerFigure]] = {rank: {} for rank in settings.ranks}
        raw: list[RawValues] = []
        with torch.no_grad():
            for name, layer in linear_layers(context.model).items():
                found = _of_layer(settings, name, layer.weight, utility[name], safety[name])
                for rank, (figure, parts) in found.items():
                    figures[rank][name] = figure
                    row = RawValues(
                        evaluation=settings.name, part=name, index=rank, values=parts, n=min(layer.weight.shape)
                    )
                    raw.append(row)
        measurements: list[Measurement] = []
        for rank, by_layer in figures.items():
            measurements += layer_measurements(settings.metric(rank), by_layer)
        return EvaluationResult(raw=tuple(raw), measurements=tuple(measurements))

    def receipts(
        self, context: EvaluationContext, observed: Observed, measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """Similarities of some layers, which are drawn for the cell, from whole spectra."""
        from harness.formulas.draws import drawn
        from harness.models.layers import linear_layers
        from harness.receipts.subspaces import similarities

        settings = self.settings
        if context.model is None or context.grams is None:
            return []
        layers = linear_layers(context.model)
        names = list(layers)
        first = [names[place] for place in drawn(context.cell, f"layers of {settings.name}", len(names), 2)]
        weights = {name: layers[name].weight for name in dict.fromkeys([*first, *names])}
        return [
            similarities(
                settings, weights, (context.grams(settings.utility), context.grams(settings.safety)), measurements
            )
        ]


def _of_layer(
    settings: Settings, name: str, weight: Tensor, utility_gram: Tensor, safety_gram: Tensor
) -> dict[int, tuple[LayerFigure, tuple[float, ...]]]:
    """Figures by rank, and the parts that each is the mean of.

    All from one pair of bases: the top r directions are the first r of any larger number.
    """
    from harness.formulas.subspace import direction_count, leading_directions, parts_within, subspace_similarity

    limit = direction_count(weight)
    counts = {rank: settings.rank_in_layer(rank, limit) for rank in settings.ranks}
    largest = max(counts.values())
    if largest > limit:
        raise UserError(
            f"{settings.name}: ranks go to {largest}, but {name} is {weight.shape[0]} x {weight.shape[1]} "
            f"and has {limit} directions; expected at most {limit}, or of_directions"
        )
    utility, safety = (
        leading_directions(weight, gram.to(weight.device), largest)[0] for gram in (utility_gram, safety_gram)
    )
    found = {}
    for rank, r in counts.items():
        first, second = utility[:, :r], safety[:, :r]
        found[rank] = LayerFigure(subspace_similarity(first, second), r), tuple(parts_within(first, second).tolist())
    return found
