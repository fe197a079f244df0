"""Cells: the states of a model that a benchmark measures, and the groups that they are declared in."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import Field, ValidationError, model_validator

from harness.spec.common import Declared, FileName, Name
from harness.spec.finetuning import FineTuningSettings
from harness.spec.region import Region


class Cell(Declared):
    """One point of a benchmark: one model state, evaluated once.

    The state is the intact model without `region`, or after `fine_tuning`, or the intact model itself.
    """

    id: FileName
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


class CellGroup(Declared):
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


def sound_cells(groups: Mapping[int, CellGroup]) -> dict[int, list[Cell]]:
    """The expanded cells of each group; groups with a grid point that makes no cell are left out."""
    cells: dict[int, list[Cell]] = {}
    for index, group in groups.items():
        with suppress(ValidationError):  # the loader reports it, with its place in the file
            cells[index] = group.cells()
    return cells
