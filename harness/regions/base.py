"""What a region does, and what regions share. A region is a module with `Settings` and `class Region(base.Region)`.

The pipeline asks a region what it needs, how it is found and how that is checked; it never asks which kind it is.
Modules of regions are read with every spec: they import torch, and what rests on it, inside their functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import ValidationError

from harness import plugins
from harness.errors import UserError
from harness.regions._measures import GRAM as GRAM
from harness.regions._measures import Grams as Grams
from harness.regions._measures import Measure as Measure
from harness.regions._measures import Scores as Scores
from harness.spec.probing import ProbeSettings
from harness.spec.receipt import StageReceipt
from harness.spec.region import AttributionSettings, ComparisonGroup, RegionSettings, region_kinds
from harness.spec.variant import ModelVariant

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from harness.models.editing import FoundRegion
    from harness.probing.again import Probed
    from harness.probing.heads import HeadProbe


@dataclass
class Witness:
    """What a region was selected from, noted while it is found: scores or Grams by layer, of the data or of safety and
    utility. Empty for a region that rests on none. heads: (blocks, heads), how often the probe of each is right."""

    measured: list[dict[str, Tensor]] = field(default_factory=list)
    heads: Tensor | None = None

    def note(self, measured: Sequence[Mapping[str, Tensor]]) -> None:
        """Add what was measured of all layers, or of one block more."""
        self.measured = self.measured or [{} for _ in measured]
        for kept, layers in zip(self.measured, measured, strict=True):
            kept.update(layers)


class Heads(Protocol):
    """Probes of attention heads of the intact model."""

    def probe(self, settings: ProbeSettings) -> HeadProbe:
        """The probe of the intact model, stored by what it was fitted to."""
        ...


class Finder(Protocol):
    """What a region is found with. planted: masks from the file of the variant, if it names one."""

    @property
    def model(self) -> PreTrainedModel:
        """The intact model."""
        ...

    @property
    def planted(self) -> Mapping[str, Tensor] | None:
        """See above."""
        ...

    @property
    def heads(self) -> Heads:
        """See `Heads`."""
        ...

    def masks(self, region: RegionSettings) -> Mapping[str, Tensor]:
        """Those of another region of weights."""
        ...

    def from_measured(self, region: Region, witness: Witness | None) -> FoundRegion:
        """A region by its `selected`, from its `measure` of all layers at once or block by block."""
        ...


@dataclass(frozen=True)
class Look:
    """What receipts of a region look at. The model is intact.

    attribution: the spec's settings with those of the region. measured: what it was selected from, by role.
    drawn: all layers, in the order in which those are looked at that are few of many. masks: of another region.
    planted: masks, read again from the variant's file; None of a variant without one. heads: see `Witness`.
    probed: a few heads with probes that are fitted again.
    """

    model: PreTrainedModel
    layers: Mapping[str, nn.Linear]
    drawn: Mapping[str, nn.Linear]
    attribution: AttributionSettings
    measured: Sequence[Mapping[str, Tensor]]
    masks: Callable[[RegionSettings], Mapping[str, Tensor]]
    planted: Callable[[], Mapping[str, Tensor]] | None
    heads: Tensor | None
    probed: Callable[[ProbeSettings], Sequence[Probed]]


@dataclass(frozen=True)
class EditOptions:
    """Which options of `harness edit` declare a region.

    files: those that name files, with the role of the set that they were measured on, in the order of the roles.
    needed, allowed: the others.
    """

    files: Mapping[str, str]
    needed: tuple[str, ...]
    allowed: tuple[str, ...] = ()


class Region:
    """A region as a spec declares it: a module in harness/regions holds one, as its class `Region`.

    spectra: calibration sets of which the directions of all layers are computed.
    of_least: whether the weights of the smallest scores are taken. in_all_layers: whether every layer has a mask.
    edit_options: for `harness edit`; None where that cannot make it.
    """

    spectra: ClassVar[int] = 0
    of_least: ClassVar[bool] = False
    in_all_layers: ClassVar[bool] = False
    edit_options: ClassVar[EditOptions | None] = None

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    def measure(self) -> Measure | None:
        """What it is found from, on the calibration sets that it names; None where that is something else."""
        return None

    @property
    def seed(self) -> int | None:
        """Of the draw from calibration sets, or of a method without data; None for the set's own."""
        return None

    @property
    def share(self) -> float | None:
        """The share of the weights that it holds, where its settings say so."""
        return None

    @property
    def largest_share(self) -> float | None:
        """The largest share that it may hold, for the canary of as many random weights; None where it tells nothing."""
        return None

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What nobody checks by other means, in words, for the record."""
        checked = type(self).receipts is not Region.receipts or type(self).plain_masks is not Region.plain_masks
        return () if checked else (f"region {self.settings.select}: no plain definition",)

    def attribution(self, defaults: AttributionSettings) -> AttributionSettings:
        """The settings of attribution as they are for this region."""
        return defaults

    def schedule(self, defaults: AttributionSettings) -> str | None:
        """How its scores or Grams are measured; None where it rests on no data."""
        measured = self.measure is not None and self.measure.uses_data
        return self.attribution(defaults).schedule if measured else None

    def problems(self, variant: ModelVariant) -> list[str]:
        """Why it cannot be found on a variant, each in words; nothing is loaded."""
        return []

    def refuse_unfit(self, layers: Mapping[str, nn.Linear], defaults: AttributionSettings) -> None:
        """Raises UserError where a model with such layers cannot have it, before anything is measured.

        layers: may be on the device `meta`, without a number. defaults: as for `attribution`.
        """

    def find(self, finder: Finder, witness: Witness | None) -> FoundRegion:
        """What editing needs to remove it. The model is intact before and after.

        witness: has to be told what it is selected from.
        """
        raise NotImplementedError(f"the region {self.settings.select} does not say how it is found")

    def selected(
        self,
        attribution: AttributionSettings,
        layers: Mapping[str, nn.Linear],
        measured: Sequence[Mapping[str, Tensor]],
    ) -> FoundRegion:
        """The part in some layers of a region that has a `measure`. measured: by role, by layer."""
        raise NotImplementedError(f"the region {self.settings.select} does not say how it is selected")

    def plain_mask(self, scores: Sequence[np.ndarray], group: ComparisonGroup) -> np.ndarray | None:
        """The mask of a layer from its scores, by role, in numpy; None where it is not selected from scores."""
        return None

    def plain_masks(self, look: Look) -> Mapping[str, Tensor] | None:
        """Masks by other means than `find`, sharing no code with it; None where there are none."""
        return None

    def receipts(self, found: FoundRegion, look: Look) -> list[StageReceipt]:
        """Receipts of the stage `mask`: that what was found is what the settings declare."""
        from harness.models.editing import SelectedWeights
        from harness.regions import _mask_receipts

        if not isinstance(found, SelectedWeights):
            return []
        receipts = [_mask_receipts.fits_the_model(found.masks, look.layers, self.in_all_layers)]
        plain = self.plain_masks(look)
        return receipts if plain is None else [*receipts, _mask_receipts.as_made_again(found.masks, plain)]

    def words(self, spec: Mapping[str, Any]) -> str:
        """Which weights or ranks it declares, for `harness explain`. spec: of the record."""
        return f"the region {self.settings.select}"


def region(settings: RegionSettings) -> Region:
    """What a declared region does. Raises UserError where its module does not say."""
    module = plugins.load("regions", settings.select)
    kind = getattr(module, "Region", None)
    if not (isinstance(kind, type) and issubclass(kind, Region)):
        why = "it defines no class Region(base.Region); harness/regions/base.py says what it declares"
        raise plugins.unfit("regions", settings.select, why)
    plugins.refuse_without("regions", settings.select, kind, Region, "find")
    return kind(settings)


def recorded(declared: Mapping[str, Any]) -> Region | None:
    """A region as a record declares it; None of one whose kind is not here.

    Its method need not be here, and then nothing but its words and shares may be asked for.
    """
    kind = region_kinds().get(declared["select"])
    if kind is None:
        return None
    try:
        return region(kind.model_validate(dict(declared)))
    except ValidationError:  # of a method that is not installed here: its record is told all the same
        if any(isinstance(value, Mapping) for value in declared.values()):
            return None
        return region(kind.model_construct(**declared))


def measure_of(region: Region) -> Measure:
    """What a region that is found from scores or Grams is found from. Raises UserError of one that is not."""
    if region.measure is None:
        raise UserError(f"the region {region.settings.select} names no `measure` to be found from")
    return region.measure


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.3g}%"
