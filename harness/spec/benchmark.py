"""BenchmarkSpec: everything that decides what a benchmark measures. No flag adds to it."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Iterator
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness import plugins
from harness.spec.claim import Claim, Reference
from harness.spec.common import KeyPath, Name, Share, Strict
from harness.spec.finetuning import FineTuningSettings
from harness.spec.metrics import repeated_metrics, unknown_metrics
from harness.spec.region import AttributionSettings, Region, calibration_sets_of

#: Type of the error that names problems by their keys in the file, and where it holds them: [(key, text), ...].
UNRESOLVED, PROBLEMS = "unresolved", "problems"
#: The name of the cell that every other cell is compared with.
INTACT = "intact"


def _evaluation_settings() -> Any:
    """Union of the `Settings` of all evaluations: a new file in harness/evaluations joins by itself."""
    settings = (plugins.load("evaluations", name).Settings for name in plugins.names("evaluations"))
    return reduce(operator.or_, settings)


EvaluationSettings = Annotated[_evaluation_settings(), Field(discriminator="kind")]  # type: ignore[misc]


class Source(Strict):
    """Where in the literature the benchmark comes from."""

    work: str
    figure: str | None = None
    table: str | None = None
    section: str | None = None


class CalibrationSet(Strict):
    """`samples` pairs of a variant's dataset, drawn with `seed`.

    The draw is numpy's default_rng(seed).permutation, which is what datasets.Dataset.shuffle
    does: the published code's samples are reproduced.
    """

    dataset: str
    samples: int = Field(gt=0)
    seed: int = Field(default=0, ge=0)


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
    requires_planted_region: bool = False
    variants: tuple[str, ...] = ()

    @property
    def regions(self) -> list[Region]:
        """Every region that has to be found for this cell: removed, or frozen during fine-tuning."""
        frozen = self.fine_tuning.frozen if self.fine_tuning else None
        return [region for region in (self.region, frozen) if region is not None]

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
        frozen = (sections["fine_tuning"] or {}).get("frozen")
        selections = [region.get("select") for region in (sections["region"], frozen) if isinstance(region, dict)]
        return {
            **{name: section for name, section in sections.items() if section is not None},
            "id": self.id + suffix, "group": self.id, "parameters": point,
            "variants": self.variants,
            "invalid_is_expected": self.invalid_is_expected, "requires_planted_region": "planted" in selections,
        }  # fmt: skip

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

    @model_validator(mode="after")
    def names_resolve(self) -> BenchmarkSpec:
        """Everything that a spec refers to by name exists in it, and exists once."""
        problems: list[tuple[KeyPath, str]] = [((), problem) for problem in self._unresolved()]
        problems += [*self._unresolved_in_evaluations(), *self._uncalibrated_attacks()]
        problems += repeated_metrics(self.evaluations)
        problems += unknown_metrics(self.evaluations, self.claims)
        if problems:
            context = {"text": "; ".join(text for _, text in problems), PROBLEMS: problems}
            raise PydanticCustomError(UNRESOLVED, "{text}", context)
        return self

    @property
    def calibration_sets_of_evaluations(self) -> list[str]:
        """Names of the calibration sets that the figures of evaluations rest on, whatever the cell."""
        return sorted({name for evaluation in self.evaluations for name in getattr(evaluation, "calibration_sets", [])})

    def _unresolved(self) -> Any:
        try:
            cells = self.expanded_cells()
        except ValidationError:
            return  # reported by the loader, with its place in the file
        yield from _repeated("cell", [cell.id for cell in cells])
        yield from _repeated("evaluation", [evaluation.name for evaluation in self.evaluations])
        yield from _repeated("claim", [claim.id for claim in self.claims])
        if INTACT not in {cell.id for cell in cells}:
            yield f"there is no cell {INTACT!r} (a cell without region), which the others are compared with"
        for cell in cells:
            for name in (name for region in cell.regions for name in calibration_sets_of(region)):
                if name not in self.calibration:
                    yield f"cell {cell.id}: no calibration set {name!r}; {plugins.suggestion(name, self.calibration)}"
        known = {cell.id for cell in cells} | {cell.group for cell in cells}
        for claim in self.claims:
            bounds = [condition.bound for condition in claim.conditions]
            references = [bound.cell for bound in bounds if isinstance(bound, Reference) and bound.cell is not None]
            for name in [*claim.cells, *references]:
                if name not in known:
                    yield f"claim {claim.id}: no cell {name!r}; {plugins.suggestion(name, known)}"

    def _unresolved_in_evaluations(self) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong with evaluations of the intact model's regions and Grams, with the key of each."""
        try:
            changed = next((cell.id for cell in self.expanded_cells() if cell.changes_weights), None)
        except ValidationError:
            changed = None  # reported by the loader, with its place in the file
        for index, evaluation in enumerate(self.evaluations):
            key, sets = ("evaluations", index), getattr(evaluation, "calibration_sets", None)
            if sets is None:
                continue
            for name in dict.fromkeys(sets):
                if name not in self.calibration:
                    yield key, f"no calibration set {name!r}; {plugins.suggestion(name, self.calibration)}"
            if changed is not None:
                yield key, (f"{evaluation.name} measures the intact model, but the cell {changed} changes its weights; "
                            "expected intact cells only: give the evaluation a benchmark of its own")  # fmt: skip

    def _uncalibrated_attacks(self) -> Iterator[tuple[KeyPath, str]]:
        """Attacks whose texts could not be judged: no evaluation shows how the intact model answers in its format."""
        attacks = {index: entry for index, entry in enumerate(self.evaluations) if entry.kind == "attack"}
        if any(attack.chat_template and not attack.suffixes for attack in attacks.values()):
            return
        for index, attack in attacks.items():
            lacks = "has suffixes" if attack.chat_template else "has no chat template"
            yield (
                ("evaluations", index),
                (
                    f"{attack.name} {lacks}, and no attack here has a template and no suffixes: nothing calibrates "
                    "which texts are answers; expected at least one with chat_template: true and without suffixes"
                ),
            )


def _repeated(what: str, names: list[str]) -> list[str]:
    seen: set[str] = set()
    repeated = {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
    return [f"{what} {name!r} is declared twice" for name in sorted(repeated)]
