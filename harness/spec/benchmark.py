"""BenchmarkSpec: everything that decides what a benchmark measures. No flag adds to it."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from functools import reduce
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from harness import plugins
from harness.spec.claim import Claim, Reference
from harness.spec.common import Name, Share, Strict
from harness.spec.region import AttributionSettings, Region, calibration_sets_of

_REGION: TypeAdapter[Region] = TypeAdapter(Region)
#: Type of the error that names problems by their keys in the file, and where it holds them: [(key, text), ...].
UNRESOLVED, PROBLEMS = "unresolved", "problems"
KeyPath = tuple[str | int, ...]
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
    """One point of a benchmark: one model state, evaluated once."""

    id: str
    group: str
    parameters: dict[str, float | int | str] = Field(default_factory=dict)
    region: Region | None = None
    invalid_is_expected: str | None = None
    requires_planted_region: bool = False

    @property
    def changes_weights(self) -> bool:
        """Whether the model that is evaluated is another one than the intact one."""
        return self.region is not None


class CellGroup(Strict):
    """Cells that differ only in the values of `grid`.

    grid: a mapping of lists (their product) or a list of mappings (those points).
    """

    id: Name
    title: str
    region: dict[str, Any] | None = None
    grid: dict[str, list[float | int | str]] | list[dict[str, float | int | str]] | None = None
    invalid_is_expected: str | None = None

    def points(self) -> list[dict[str, float | int | str]]:
        """The grid's points in the order in which the file gives them."""
        if self.grid is None:
            return [{}]
        if isinstance(self.grid, list):
            return self.grid
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]

    def cells(self) -> list[Cell]:
        """Expand the grid. Raises pydantic.ValidationError where a point makes no region."""
        return [self._cell(point) for point in self.points()]

    def _cell(self, point: dict[str, float | int | str]) -> Cell:
        region = None if self.region is None else _REGION.validate_python({**self.region, **point})
        suffix = "".join(f"_{key}{value}" for key, value in point.items())
        planted = getattr(region, "select", None) == "planted"
        return Cell(
            id=self.id + suffix,
            group=self.id,
            parameters=point,
            region=region,
            invalid_is_expected=self.invalid_is_expected,
            requires_planted_region=planted,
        )


class BenchmarkSpec(Strict):
    """One figure, table or extension: cells, evaluations, claims."""

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

    def expanded_cells(self) -> list[Cell]:
        """All cells, grids expanded, in the order of the file."""
        return [cell for group in self.cells for cell in group.cells()]

    @model_validator(mode="after")
    def names_resolve(self) -> BenchmarkSpec:
        """Everything that a spec refers to by name exists in it, and exists once."""
        problems: list[tuple[KeyPath, str]] = [((), problem) for problem in self._unresolved()]
        problems += self._unresolved_in_evaluations()
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
            for name in [] if cell.region is None else calibration_sets_of(cell.region):
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


def _repeated(what: str, names: list[str]) -> list[str]:
    seen: set[str] = set()
    repeated = {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
    return [f"{what} {name!r} is declared twice" for name in sorted(repeated)]
