"""BenchmarkSpec: everything that decides what a benchmark measures. No flag adds to it."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Mapping
from contextlib import suppress
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness import plugins
from harness.spec.claim import Claim
from harness.spec.common import Name, Share, Strict
from harness.spec.finetuning import FineTuningSettings
from harness.spec.plugged import settings_type
from harness.spec.region import AttributionSettings, Region
from harness.spec.resolution import Parts, is_measured, unresolved

#: Type of the error that names problems by their keys in the file, and where it holds them: [(key, text), ...].
UNRESOLVED, PROBLEMS = "unresolved", "problems"


def _evaluation_settings() -> Any:
    """Union of the `Settings` of all evaluations that ship: a new file in harness/evaluations joins by itself."""
    settings = (plugins.shipped("evaluations", name).Settings for name in plugins.shipped_names("evaluations"))
    return settings_type("evaluations", "kind", reduce(operator.or_, settings))


if TYPE_CHECKING:
    EvaluationSettings: TypeAlias = Any  # the files in harness/evaluations decide at run time: no checker can know it
else:
    EvaluationSettings = _evaluation_settings()


def recorded_evaluations(spec: Mapping[str, Any]) -> list[EvaluationSettings]:
    """The evaluations of a spec as a record holds it. Raises pydantic.ValidationError where one is not known here."""
    return TypeAdapter(list[EvaluationSettings]).validate_python(spec["evaluations"])


class Source(Strict):
    """Where in the literature the benchmark comes from."""

    work: str
    figure: str | None = None
    table: str | None = None
    section: str | None = None


class CalibrationSet(Strict):
    """`samples` pairs of a variant's dataset, drawn with `seed` after the first `skip` of that draw.

    The draw is numpy's default_rng(seed).permutation, which is what datasets.Dataset.shuffle
    does: the published code's samples are reproduced. Sets of one dataset and seed have no row in common
    where one skips what the other takes.
    """

    dataset: str
    samples: int = Field(gt=0)
    seed: int = Field(default=0, ge=0)
    skip: int = Field(default=0, ge=0)


class ValiditySettings(Strict):
    """An ASR counts only where at least this share of completions are refusals or answers.

    The samples that calibrate the thresholds are drawn from the intact model with `seed`.
    """

    minimum_fit_share: Share = 0.5
    calibration_prompts: int = Field(default=50, gt=0)
    seed: int = Field(default=0, ge=0)


class Cell(Strict):
    """One point of a benchmark: one model state, evaluated once.

    The state is the intact model without `region`, or after `fine_tuning`, or the intact model itself.
    """

    id: str
    group: str
    parameters: dict[str, float | int | str] = Field(default_factory=dict)
    region: Region | None = None
    fine_tuning: FineTuningSettings | None = None
    invalid_is_expected: str | None = None
    variants: tuple[str, ...] = ()

    @property
    def regions(self) -> list[Region]:
        """Every region that has to be found for this cell: removed, or frozen during fine-tuning."""
        frozen = self.fine_tuning.frozen if self.fine_tuning else None
        return [region for region in (self.region, frozen) if region is not None]

    @property
    def requires_planted_region(self) -> bool:
        """Whether a variant without a planted region cannot have it."""
        return any(region.needs_planted for region in self.regions)

    @model_validator(mode="after")
    def one_change(self) -> Cell:
        """Which comes first, and on which model the region is found, would not be said."""
        if self.region is not None and self.fine_tuning is not None:
            raise ValueError("a cell has a region to remove or a fine_tuning, not both")
        return self

    @property
    def changes_weights(self) -> bool:
        """Whether the model that is evaluated is another one than the intact one."""
        return self.region is not None or self.fine_tuning is not None


class CellGroup(Strict):
    """Cells that differ only in the values of `grid`.

    grid: a mapping of lists (their product) or a list of mappings (those points). A plain key sets a key
    of `region`, `fine_tuning.frozen.fraction` one inside `fine_tuning`. Ids take a key's last part.
    variants: names, with * for any part, of the only variants that have these cells: ranks are numbers of one
    model's size.
    """

    id: Name
    title: str
    region: dict[str, Any] | None = None
    fine_tuning: dict[str, Any] | None = None
    grid: dict[str, list[float | int | str]] | list[dict[str, float | int | str]] | None = None
    invalid_is_expected: str | None = None
    variants: tuple[str, ...] = ()

    def points(self) -> list[dict[str, float | int | str]]:
        """The grid's points in the order in which the file gives them."""
        if self.grid is None:
            return [{}]
        if isinstance(self.grid, list):
            return self.grid
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]

    def cells(self) -> list[Cell]:
        """Expand the grid. Raises pydantic.ValidationError where a point makes no cell."""
        return [Cell.model_validate(self.declaration(point)) for point in self.points()]

    def declaration(self, point: dict[str, float | int | str]) -> dict[str, Any]:
        """The fields of the cell at a grid point, not validated yet."""
        sections = {"region": copy.deepcopy(self.region), "fine_tuning": copy.deepcopy(self.fine_tuning)}
        for key, value in point.items():
            *path, last = key_path(key)
            _section(sections, path)[last] = value
        suffix = "".join(f"_{key_path(key)[-1]}{value}" for key, value in point.items())
        return {
            **{name: section for name, section in sections.items() if section is not None},
            "id": self.id + suffix,
            "group": self.id,
            "parameters": point,
            "variants": self.variants,
            "invalid_is_expected": self.invalid_is_expected,
        }

    @model_validator(mode="after")
    def grid_keys_lead_somewhere(self) -> CellGroup:
        """A grid over a section that the group does not have would make cells that are all the same."""
        for key in sorted({key for point in self.points() for key in point}):
            section = key_path(key)[0]
            if section not in ("region", "fine_tuning") or getattr(self, section) is None:
                raise ValueError(f"the grid key {key!r} sets a key of {section}, which this cell does not have")
        return self


def key_path(grid_key: str) -> list[str]:
    """Where in a cell a grid key points: `fraction` to region.fraction, a key with a dot to itself."""
    return grid_key.split(".") if "." in grid_key else ["region", grid_key]


def _section(sections: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The mapping at a path, made where the file leaves it out."""
    for part in path:
        if not isinstance(sections.get(part), dict):
            sections[part] = {}
        sections = sections[part]
    return sections


class BenchmarkSpec(Strict):
    """One figure, table or extension: cells, evaluations, claims.

    layout: how the report draws it, a file in harness/reports/layouts; without one it has a table of cells alone.
    """

    id: Name
    title: str
    source: Source
    calibration: dict[Name, CalibrationSet] = Field(default_factory=dict)
    attribution: AttributionSettings = AttributionSettings()
    cells: tuple[CellGroup, ...] = Field(min_length=1)
    evaluations: tuple[EvaluationSettings, ...] = Field(min_length=1)
    validity: ValiditySettings = ValiditySettings()
    claims: tuple[Claim, ...] = ()
    golden_values: Literal["required", "none"] = "required"
    layout: str | None = None

    @field_validator("layout")
    @classmethod
    def layout_exists(cls, layout: str | None) -> str | None:
        """A layout is a file in harness/reports/layouts; only its name is looked up here, nothing is drawn."""
        known = plugins.names("reports.layouts")
        if layout is not None and layout.replace("-", "_") not in known:
            raise ValueError(f"no such layout; {plugins.suggestion(layout, known)}")
        return layout

    def expanded_cells(self) -> list[Cell]:
        """All cells, grids expanded, in the order of the file."""
        return [cell for group in self.cells for cell in group.cells()]

    def evaluations_of(self, cell: Cell) -> list[EvaluationSettings]:
        """What is measured in a cell."""
        return [entry for entry in self.evaluations if is_measured(entry, cell)]

    @model_validator(mode="after")
    def names_resolve(self) -> BenchmarkSpec:
        """Everything that a spec refers to by name exists in it, and exists once."""
        cells = sound_cells(dict(enumerate(self.cells)))
        problems = unresolved(
            Parts(
                self.calibration,
                cells,
                dict(enumerate(self.evaluations)),
                dict(enumerate(self.claims)),
                all_cells=len(cells) == len(self.cells),
            )
        )
        if problems:
            context = {"text": "; ".join(text for _, text in problems), PROBLEMS: problems}
            raise PydanticCustomError(UNRESOLVED, "{text}", context)
        return self

    @property
    def calibration_sets_of_evaluations(self) -> list[str]:
        """Names of the calibration sets that the figures of evaluations rest on, whatever the cell."""
        return sorted({name for evaluation in self.evaluations for name in evaluation.calibration_sets})


def sound_cells(groups: Mapping[int, CellGroup]) -> dict[int, list[Cell]]:
    """The expanded cells of each group; groups with a grid point that makes no cell are left out."""
    cells: dict[int, list[Cell]] = {}
    for index, group in groups.items():
        with suppress(ValidationError):  # the loader reports it, with its place in the file
            cells[index] = group.cells()
    return cells
