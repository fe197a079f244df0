"""Regions of a model as a spec declares them: which weights a cell removes."""

from __future__ import annotations

from typing import Annotated, Literal, get_args, overload

from pydantic import Field, field_validator, model_validator

from harness import plugins
from harness.spec.common import Share, Strict
from harness.spec.probing import ProbeSettings

ComparisonGroup = Literal["row", "matrix"]
Schedule = Literal["one_shot", "block_by_block"]


class AttributionSettings(Strict):
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


class ScoredRegion(Strict):
    """What all regions that rest on an importance score declare.

    seed: of a method that looks at no data, or else of the draw from the calibration set, in the place of the
    set's own. A grid over it repeats a measurement (appendix B: three seeds).
    """

    method: str
    seed: int | None = Field(default=None, ge=0)
    schedule: Schedule | None = None
    comparison_group: ComparisonGroup | None = None

    @field_validator("method")
    @classmethod
    def method_exists(cls, method: str) -> str:
        """A method is a file in harness/attribution."""
        known = plugins.names("attribution")
        if method.replace("-", "_") not in known:
            raise ValueError(f"no such method; {plugins.suggestion(method, known)}")
        return method


class TopRegion(ScoredRegion):
    """The `fraction` of weights with the largest importance; `data` where the method looks at data."""

    select: Literal["top"]
    data: str | None = None
    fraction: Share


class BottomRegion(ScoredRegion):
    """The `fraction` of weights with the smallest importance; `data` where the method looks at data."""

    select: Literal["bottom"]
    data: str | None = None
    fraction: Share


class SetDifferenceRegion(ScoredRegion):
    """S(p, q): in the top q of safety and not in the top p of utility (section 2.2)."""

    select: Literal["set-difference"]
    safety: str
    utility: str
    p: Share
    q: Share


class PlantedRegion(Strict):
    """The weights that are known to carry the safety of a model organism."""

    select: Literal["planted"]


class HeadsRegion(ProbeSettings):
    """The attention heads whose probes tell harmful from harmless prompts best, all their weights.

    fraction: of all heads of the model; max(1, round(fraction * heads)) are removed.
    """

    select: Literal["attention-heads"]
    fraction: Share


class MatchedRandomRegion(Strict):
    """For each weight of another region a random one of like magnitude, in the same layer and outside the region.

    It is drawn with `seed` among the 2 * window + 1 weights outside the region whose |w| is nearest in rank; the
    next one is taken where several weights draw the same. What a region owes to the size of its weights alone, this
    one has too.
    """

    select: Literal["matched-random"]
    of: Annotated[
        TopRegion | BottomRegion | SetDifferenceRegion | PlantedRegion | HeadsRegion, Field(discriminator="select")
    ]
    window: int = Field(default=32, gt=0)
    seed: int = Field(default=0, ge=0)

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that the other region needs besides calibration sets."""
        return getattr(self.of, "datasets", [])


class SubspaceRegion(Strict):
    """What all regions that are ranks of the layers' outputs declare. R is min(d_out, d_in) of a layer.

    seed: of the draw from the calibration set, in the place of the set's own.
    of_directions: R of the layers for which the ranks are written. A layer with R' directions, as k and v have
    with grouped-query attention, gets R'/R of the ranks. Without it every layer gets them as they are written,
    and one that has fewer is an error.
    """

    schedule: Schedule | None = None
    seed: int | None = Field(default=None, ge=0)
    of_directions: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def ranks_are_among_the_directions(self) -> SubspaceRegion:
        """What is kept of R cannot be less than nothing."""
        largest = max(getattr(self, key, 0) for key in ("rank", "utility_rank_removed", "safety_rank_removed"))
        if self.of_directions is not None and largest > self.of_directions:
            raise ValueError(f"{largest} ranks are removed; expected at most of_directions, {self.of_directions}")
        return self

    def rank_in_layer(self, rank: int, directions: int) -> int:
        """How many of its R' `directions` a layer has in a rank that is written for R; of some at least one."""
        if self.of_directions is None or rank == 0:
            return rank
        return max(1, round(rank * directions / self.of_directions))


class ActSvdRegion(SubspaceRegion):
    """The `rank` directions at the `end` of W X_in on `data` (section 2.1): top, or the least of R."""

    select: Literal["act-svd"]
    data: str
    rank: int = Field(gt=0)
    end: Literal["top", "bottom"] = "top"


class OrthogonalProjectionRegion(SubspaceRegion):
    """ΔW = (I − Π_u) Π_s W (section 2.2).

    Π_u is on the top R − utility_rank_removed (r_u) utility directions, Π_s on the top
    R − safety_rank_removed (r_s) safety directions.
    """

    select: Literal["orthogonal-projection"]
    safety: str
    utility: str
    utility_rank_removed: int = Field(ge=0)
    safety_rank_removed: int = Field(ge=0)

    def removed_in_layer(self, removed: int, directions: int) -> int:
        """r of a layer with R' `directions`: R' less what R − `removed` comes to there."""
        if self.of_directions is None:
            return removed
        return directions - self.rank_in_layer(self.of_directions - removed, directions)


#: Regions that are weights, each selected or not.
WeightRegion = Annotated[
    TopRegion | BottomRegion | SetDifferenceRegion | PlantedRegion | HeadsRegion | MatchedRandomRegion,
    Field(discriminator="select"),
]
#: Regions of weights that rest on an importance score.
ScoredWeightRegion = Annotated[TopRegion | BottomRegion | SetDifferenceRegion, Field(discriminator="select")]
#: Regions that are ranks of the layers' outputs.
RankRegion = Annotated[ActSvdRegion | OrthogonalProjectionRegion, Field(discriminator="select")]
#: Regions that are weights, and those that are ranks.
Region = Annotated[
    TopRegion
    | BottomRegion
    | SetDifferenceRegion
    | PlantedRegion
    | HeadsRegion
    | MatchedRandomRegion
    | ActSvdRegion
    | OrthogonalProjectionRegion,
    Field(discriminator="select"),
]


def region_models() -> dict[str, type[Strict]]:
    """The members of `Region` by what they write under `select`."""
    members = get_args(get_args(Region)[0])
    return {get_args(member.model_fields["select"].annotation)[0]: member for member in members}


@overload
def found_first(region: Region) -> Region: ...
@overload
def found_first(region: Region | ScoredRegion | SubspaceRegion) -> Region | ScoredRegion | SubspaceRegion: ...
def found_first(region: Region | ScoredRegion | SubspaceRegion) -> Region | ScoredRegion | SubspaceRegion:
    """The region that has to be found to find this one: the one that it is matched to, or itself."""
    return region.of if isinstance(region, MatchedRandomRegion) else region


def calibration_sets_of(region: Region | ScoredRegion | SubspaceRegion) -> list[str]:
    """Names of the calibration sets that a region is computed from."""
    measured = found_first(region)
    fields = ("data", "safety", "utility")
    return [name for name in (getattr(measured, field, None) for field in fields) if name is not None]
