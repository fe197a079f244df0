"""Regions of a model as a spec declares them: which weights or ranks a cell removes.

Every kind of region is a module in harness/regions, found by what stands under `select` when a file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from harness import plugins
from harness.errors import UserError
from harness.spec.common import Declared
from harness.spec.plugged import validated
from harness.spec.probing import ProbeSettings

#: In the context of a validation: scores are at hand, and no method is needed to make them.
SCORES_AT_HAND = "scores_at_hand"

#: In a JSON Schema: the kinds of region that may stand there.
REGION_MARK = "x-kinds-of-region"

ComparisonGroup = Literal["row", "matrix"]
Schedule = Literal["one_shot", "block_by_block"]


class AttributionSettings(Declared):
    """What can differ silently between two implementations of one score.

    loss_reduction: `mean` over response tokens (published code) or `sum` (the paper's text).
    activation_positions: Wanda's and ActSVD's activations at the `response` tokens (published code) or at the
        positions `predicting` them, one earlier.
    schedule: `one_shot` measures the intact model once; `block_by_block` edits block k before it
        measures block k + 1. It is for regions from scores and Grams: attention heads are probed, and figures
        of the intact model measured, on the intact model.
    comparison_group: weights compete within their `row` (the paper's text) or over the whole
        `matrix` (the published set difference).
    """

    loss_reduction: Literal["mean", "sum"] = "mean"
    activation_positions: Literal["response", "predicting"] = "response"
    schedule: Schedule = "one_shot"
    comparison_group: ComparisonGroup = "row"


class RegionSettings(Declared):
    """What a spec says of a region, of any kind. The `Settings` of each kind add a literal `select` and their keys.

    roles: the keys that name calibration sets, in the order in which what is measured on them is handed on.
    of_ranks: whether it is ranks of the layers' outputs, or else single weights.
    of_scores: whether it rests on importance scores alone, so that another model's can be taken.
    is_planted: whether it is what is known to carry the safety of a model organism.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    of_ranks: ClassVar[bool] = False
    of_scores: ClassVar[bool] = False
    is_planted: ClassVar[bool] = False

    if TYPE_CHECKING:
        select: str

    @property
    def parts(self) -> Mapping[str, RegionSettings]:
        """Other regions that this one is made from, by the keys under which they are declared."""
        return {}

    @property
    def sources(self) -> list[RegionSettings]:
        """The regions that have to be found to find this one: those that it is made from, or itself."""
        return [source for part in self.parts.values() for source in part.sources] or [self]

    @property
    def sets_by_role(self) -> dict[str, str | None]:
        """The calibration set in each of its own roles; None where the file names none."""
        return {role: getattr(self, role) for role in self.roles}

    @property
    def calibration_sets(self) -> list[str]:
        """Names of the calibration sets that the region is computed from."""
        own = [name for name in self.sets_by_role.values() if name is not None]
        return own + [name for part in self.parts.values() for name in part.calibration_sets]

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that have to be there besides those of the calibration sets."""
        return [name for part in self.parts.values() for name in part.datasets]

    @property
    def probe(self) -> ProbeSettings | None:
        """The probe of attention heads that it is chosen by."""
        return None

    @property
    def needs_planted(self) -> bool:
        """Whether only a model with a planted region can have it."""
        return self.is_planted or any(part.needs_planted for part in self.parts.values())


def sources_of(regions: Iterable[RegionSettings]) -> list[RegionSettings]:
    """The regions that have to be found to find these."""
    return [source for region in regions for source in region.sources]


Fits = Callable[[type[RegionSettings]], bool]


def region_kinds(fits: Fits = lambda _: True) -> dict[str, type[RegionSettings]]:
    """The `Settings` of every kind of region by what is written under `select`.

    Without those of other distributions that are broken: that is an error where a spec names one.
    """
    kinds = {}
    for name in plugins.names("regions"):
        try:
            kinds[name.replace("_", "-")] = _settings_of(name)
        except UserError:
            continue
    return {select: settings for select, settings in kinds.items() if fits(settings)}


def _settings_of(name: str) -> type[RegionSettings]:
    """Raises UserError for a plugin that cannot be used, or whose settings are none of a region."""
    settings = plugins.load("regions", name).Settings
    if not (isinstance(settings, type) and issubclass(settings, RegionSettings)):
        raise plugins.unfit("regions", name, f"its Settings derives from no RegionSettings ({__name__})")
    return settings


@dataclass(frozen=True)
class Selected:
    """Reads a region by the plugin that its `select` names, at the time of reading.

    Errors are those of a union that pydantic discriminates by `select`, and of a plugin that is broken or there twice.
    fits: of the kinds that may stand there.
    """

    fits: Fits

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validated)

    def __get_pydantic_json_schema__(self, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A mark with the kinds that ship; harness/spec/schemas.py puts theirs in its place."""
        shipped = (name.replace("_", "-") for name in plugins.shipped_names("regions"))
        return {REGION_MARK: [name for name in shipped if self.fits(_settings_of(name))]}

    def validated(self, value: Any) -> RegionSettings:
        """The region that a mapping declares. One that is declared already is taken as it is."""
        if isinstance(value, RegionSettings):
            self._kind(value.select)
            return value
        if not isinstance(value, Mapping):
            raise PydanticKnownError("model_attributes_type")
        if "select" not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'select'"})
        return validated(self._kind(str(value["select"])), value)

    def _kind(self, select: str) -> type[RegionSettings]:
        if select.replace("-", "_") in plugins.names("regions"):
            try:
                settings = _settings_of(select)
            except UserError as error:
                raise ValueError(str(error)) from error  # at the entry of the spec that names it
            if self.fits(settings):
                return settings
        expected = ", ".join(f"'{kind}'" for kind in region_kinds(self.fits))
        raise PydanticKnownError(
            "union_tag_invalid", {"discriminator": "'select'", "tag": select, "expected_tags": expected}
        )


#: A region of any kind.
Region = Annotated[RegionSettings, Selected(lambda _: True)]
#: One that is weights, each selected or not.
WeightRegion = Annotated[RegionSettings, Selected(lambda kind: not kind.of_ranks)]
#: One of weights that rests on importance scores.
ScoredWeightRegion = Annotated[RegionSettings, Selected(lambda kind: kind.of_scores and not kind.of_ranks)]
