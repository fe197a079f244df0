"""BenchmarkSpec: everything that decides what a benchmark measures. No flag adds to it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness import plugins
from harness.spec.cell import Cell, CellGroup, sound_cells
from harness.spec.claim import Claim
from harness.spec.common import MOST, Declared, Name, Share
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.plugged import settings_type
from harness.spec.region import AttributionSettings
from harness.spec.resolution import Parts, is_measured, unresolved

#: Type of the error that names problems by their keys in the file, and where it holds them: [(key, text), ...].
UNRESOLVED, PROBLEMS = "unresolved", "problems"


def _evaluation_settings() -> Any:
    """Union of the `Settings` of all evaluations that ship: a new file in harness/evaluations joins by itself."""
    settings = (plugins.shipped("evaluations", name).Settings for name in plugins.shipped_names("evaluations"))
    return settings_type("evaluations", "kind", reduce(operator.or_, settings), DeclaredEvaluation)


if TYPE_CHECKING:
    EvaluationSettings: TypeAlias = Any  # the files in harness/evaluations decide at run time: no checker can know it
else:
    EvaluationSettings = _evaluation_settings()


def recorded_evaluations(spec: Mapping[str, Any]) -> list[EvaluationSettings]:
    """The evaluations of a spec as a record holds it. Raises pydantic.ValidationError where one is not known here."""
    return TypeAdapter(list[EvaluationSettings]).validate_python(spec["evaluations"])


class Source(Declared):
    """Where in the literature the benchmark comes from."""

    work: str
    figure: str | None = None
    table: str | None = None
    section: str | None = None


class CalibrationSet(Declared):
    """`samples` pairs of a variant's dataset, drawn with `seed` after the first `skip` of that draw.

    The draw is numpy's default_rng(seed).permutation, which is what datasets.Dataset.shuffle
    does: the published code's samples are reproduced. Sets of one dataset and seed have no row in common
    where one skips what the other takes.
    """

    dataset: str
    samples: int = Field(gt=0, le=MOST)
    seed: int = Field(default=0, ge=0)
    skip: int = Field(default=0, ge=0)


class ValiditySettings(Declared):
    """An ASR counts only where at least this share of completions are refusals or answers.

    The samples that calibrate the thresholds are drawn from the intact model with `seed`.
    """

    minimum_fit_share: Share = 0.5
    calibration_prompts: int = Field(default=50, gt=0, le=MOST)
    seed: int = Field(default=0, ge=0)


class BenchmarkSpec(Declared):
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
