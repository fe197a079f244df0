"""What the regions share that are weights selected by an importance score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

from harness import plugins
from harness.errors import UserError
from harness.regions._measured import MeasuredRegion
from harness.regions.base import EditOptions, Look, Scores, percent
from harness.spec.receipt import StageReceipt
from harness.spec.region import SCORES_AT_HAND, AttributionSettings, ComparisonGroup, RegionSettings, Schedule
from harness.spec.variant import ModelVariant

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from harness.attribution.base import AttributionMethod
    from harness.models.editing import FoundRegion

Mistake = tuple[str, "Callable[[], np.ndarray]"]


class ScoredSettings(RegionSettings):
    """What all regions that rest on an importance score declare.

    seed: of a method that looks at no data, or else of the draw from the calibration set, in the place of the
    set's own. A grid over it repeats a measurement (appendix B: three seeds).
    method: None where scores are at hand, as those of a file, whatever they are of.
    """

    of_scores: ClassVar[bool] = True

    method: str | None = Field(default=None, validate_default=True)
    seed: int | None = Field(default=None, ge=0)
    schedule: Schedule | None = None
    comparison_group: ComparisonGroup | None = None

    @field_validator("method")
    @classmethod
    def method_exists(cls, method: str | None, info: ValidationInfo) -> str | None:
        """A method is a file in harness/attribution. It may be missing only where scores are at hand."""
        if method is None:
            if (info.context or {}).get(SCORES_AT_HAND):
                return None
            raise PydanticKnownError("missing")
        known = plugins.names("attribution")
        if method.replace("-", "_") not in known:
            raise ValueError(f"no such method; {plugins.suggestion(method, known)}")
        return method


class ScoredRegion(MeasuredRegion):
    """Weights that are selected layer by layer, by their scores alone."""

    in_all_layers: ClassVar[bool] = True

    @property
    def measure(self) -> Scores:
        """The scores of its method."""
        return Scores(self.settings.method)

    def attribution(self, defaults: AttributionSettings) -> AttributionSettings:
        """Its own schedule and comparison group, where it has them."""
        group = self.settings.comparison_group
        own = super().attribution(defaults)
        return own if group is None else own.model_copy(update={"comparison_group": group})

    def problems(self, variant: ModelVariant) -> list[str]:
        """Where its method looks at data, and it names none."""
        lacks = self.measure.uses_data and not self.settings.calibration_sets
        return [f"the method {self.settings.method} needs calibration data; give `data`"] if lacks else []

    def refuse_unfit(self, layers: Mapping[str, nn.Linear], defaults: AttributionSettings) -> None:
        """Where its share is so small that no layer has a weight in it."""
        from harness.regions._mask_receipts import bounds

        group = self.attribution(defaults).comparison_group
        shapes = {tuple(layer.weight.shape) for layer in layers.values()}
        if self.share != 0 and not any(bounds(self, group, shape)[1] for shape in shapes):
            raise UserError(
                f"the region holds no weight of the model: {self.what()}, compared over each {group}; expected a "
                "larger share: without a weight the edited model would be the intact one"
            )

    def mask(self, scores: Sequence[Tensor], group: ComparisonGroup) -> Tensor:
        """The mask (d_out, d_in) bool of a layer. scores: (d_out, d_in) by role."""
        raise NotImplementedError(f"the region {self.settings.select} defines no `mask`")

    def expected(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> np.ndarray:
        """As `mask`, of some rows or of a whole matrix, by sorting in numpy: what receipts compare with."""
        raise NotImplementedError(f"the region {self.settings.select} defines no `expected`")

    def plain_mask(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> np.ndarray:
        """See `expected`."""
        return self.expected(scores, group)

    def rule(self) -> str:
        """In words, which weights `mask` selects: "the weights that {rule}"."""
        raise NotImplementedError(f"the region {self.settings.select} defines no `rule`")

    def counts(self, count: Callable[[float], int]) -> tuple[int, int]:
        """How many weights of a layer it selects at least and at most. count: of a share of the layer's weights."""
        raise NotImplementedError(f"the region {self.settings.select} defines no `counts`")

    def mistakes(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> Iterator[Mistake]:
        """Mistakes of its own, in words, each with the mask that it would give."""
        yield from ()

    def selected(
        self,
        attribution: AttributionSettings,
        layers: Mapping[str, nn.Linear],
        measured: Sequence[Mapping[str, Tensor]],
    ) -> FoundRegion:
        """Masks of the layers."""
        from harness.models.editing import SelectedWeights

        devices = {name: layer.weight.device for name, layer in layers.items()}
        return SelectedWeights(select(self, attribution, measured, devices))

    def receipts(self, found: FoundRegion, look: Look) -> list[StageReceipt]:
        """The masks made again from the scores in use, and the share that they hold."""
        from harness.models.editing import SelectedWeights
        from harness.regions._mask_receipts import selected_as_scored, share_as_asked

        receipts = super().receipts(found, look)
        group = look.attribution.comparison_group
        if isinstance(found, SelectedWeights):
            receipts.append(selected_as_scored(self, group, found.masks, look.measured))
            receipts.append(share_as_asked(self, group, found.masks))
        return receipts

    def how(self, spec: Mapping[str, Any]) -> list[str]:
        """The settings that differ silently."""
        whole = self.attribution(AttributionSettings(**spec.get("attribution", {}))).comparison_group == "matrix"
        return [*super().how(spec), "compared over whole matrices" if whole else "compared within rows"]

    @property
    def title(self) -> str:
        """What people call its method."""
        method = self._installed()
        return method.title if method else self.settings.method

    def _installed(self) -> AttributionMethod | None:
        """Its method; None where a record is of one that is not here."""
        try:
            return self.measure.method
        except UserError:
            return None


class OneScoreRegion(ScoredRegion):
    """The `fraction` of weights at one end of the order of one score. end: in words."""

    end: ClassVar[str]
    edit_options: ClassVar[EditOptions | None] = EditOptions({"scores": "data"}, ("fraction",), ("group",))

    @property
    def share(self) -> float:
        """The `fraction`."""
        return self.settings.fraction

    def rule(self) -> str:
        """By its end."""
        return f"are the {self.end} important {self.settings.fraction:g}"

    def counts(self, count: Callable[[float], int]) -> tuple[int, int]:
        """The `fraction`, neither more nor less."""
        return count(self.settings.fraction), count(self.settings.fraction)

    def what(self) -> str:
        """Which weights, by which score."""
        method = self._installed()
        if method is not None and not method.uses_model:
            return f"a random {percent(self.settings.fraction)} of the weights"
        data = f" on {self.settings.data} data" if self.settings.data else ""
        share = percent(self.settings.fraction)
        return f"the {self.end} important {share} of the weights by {self.title} importance{data}"


def select(
    region: ScoredRegion,
    attribution: AttributionSettings,
    scores: Sequence[Mapping[str, Tensor]],
    devices: Mapping[str, torch.device],
) -> dict[str, Tensor]:
    """Masks by layer, on the CPU. scores: of the data, or of safety and utility, in this order.

    devices: where each layer's scores are compared, one layer at a time: a GPU sorts seven billion faster.
    """
    group = attribution.comparison_group
    return {name: region.mask([score[name].to(devices[name]) for score in scores], group).cpu() for name in scores[0]}
