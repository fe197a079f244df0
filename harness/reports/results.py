"""What a layout draws: the cells of a run, and beside them the values that a publication prints."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError
from harness.reports.anchors import cell_anchor
from harness.spec import locations
from harness.spec.benchmark import CellGroup
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.measurement import Measurement
from harness.spec.receipt import EditReceipt, FineTuningReceipt
from harness.spec.result import RunRecord
from harness.spec.variant import ModelVariant

Parameters = dict[str, float | int | str]


@dataclass(frozen=True)
class ShownCell:
    """A cell, measured or published; the measurements of a published one have n = 0.

    declared: the cell as the spec expands it, its `region` and `fine_tuning` among the keys. receipt and tuned
    (the fine-tuning's) are of measured cells alone. owner: whose it is; anchor: of the run's cell of that id, if any.
    """

    id: str
    group: str
    title: str
    parameters: Parameters
    measurements: dict[str, Measurement]
    declared: dict[str, Any] = field(default_factory=dict)
    receipt: EditReceipt | None = None
    tuned: FineTuningReceipt | None = None
    owner: str = ""
    anchor: str | None = None

    def number(self, metric: str) -> float | None:
        """The finite value of a metric; None where it was not measured, has no value, or is no number."""
        measured = self.measurements.get(metric)
        if measured is None or measured.value is None or not math.isfinite(measured.value):
            return None
        return measured.value

    def valid(self, metric: str) -> bool:
        """Whether the metric was measured and means what it says."""
        return metric in self.measurements and self.measurements[metric].valid


@dataclass(frozen=True)
class Results:
    """The cells of one model. name: whose they are; publications: where they are printed, empty for a run."""

    name: str
    cells: tuple[ShownCell, ...]
    publications: tuple[str, ...] = ()

    def has(self, metric: str) -> bool:
        """Whether any cell has a number for the metric."""
        return any(cell.number(metric) is not None for cell in self.cells)


def results_of_run(record: RunRecord) -> Results:
    """The cells of a record, in its order."""
    declared = _declarations(record)
    name = f"this run: {record.variant['name']}"
    return Results(
        name,
        tuple(
            ShownCell(
                cell.id,
                cell.group,
                cell.title,
                cell.parameters,
                {m.metric: m for m in cell.measurements},
                declared.get(cell.id, {}),
                cell.receipt,
                cell.fine_tuning,
                name,
                cell_anchor(record, cell.id),
            )
            for cell in record.cells
        ),
    )


def published_results(record: RunRecord, golden_paths: Iterable[Path]) -> list[Results]:
    """What publications print for the record's benchmark, one entry for each model, in the order of the spec.

    Golden values of our own runs are left out, and so are cells that the record's spec does not have.
    """
    benchmark = record.spec["id"]
    found = []
    for path in sorted((path for path in golden_paths if path.stem == benchmark), key=_by_size):
        golden = load_yaml_model(path, GoldenFile)
        printed = [value for value in golden.values if value.source.publication]
        cells = _published_cells(record, golden, {value.cell for value in printed})
        if cells:
            sources = dict.fromkeys(value.source.publication or "" for value in printed)
            name = f"published: {_title(golden.variant)}"
            found.append(Results(name, tuple(replace(cell, owner=name) for cell in cells), tuple(sources)))
    return found


def _published_cells(record: RunRecord, golden: GoldenFile, wanted: set[str]) -> tuple[ShownCell, ...]:
    declared = _declarations(record)
    return tuple(
        ShownCell(
            cell_id,
            cell["group"],
            cell["title"],
            cell["parameters"],
            {
                value.metric: Measurement(metric=value.metric, value=value.value, n=0, valid=value.valid)
                for value in golden.values
                if value.cell == cell_id and value.source.publication
            },
            cell,
            anchor=cell_anchor(record, cell_id) if record.cell(cell_id) else None,
        )
        for cell_id, cell in declared.items()
        if cell_id in wanted
    )


def _declarations(record: RunRecord) -> dict[str, dict[str, Any]]:
    """Every cell of the record's spec by its id, those of other variants too, with the title of its group."""
    try:
        groups = [CellGroup.model_validate(group) for group in record.spec.get("cells", ())]
    except ValidationError as error:
        raise UserError(
            f"record {record.id}: its spec is not one of this version: {error.errors()[0]['msg']}; run it again"
        ) from None
    declared = [group.declaration(point) | {"title": group.title} for group in groups for point in group.points()]
    return {cell["id"]: cell for cell in declared}


def _by_size(path: Path) -> list[tuple[int, str]]:
    """Sorts numbers in a variant's name as numbers: llama2-7b before llama2-13b."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.parent.name)]


def _title(variant: str) -> str:
    """The title of a shipped variant, or the bare name of one that there is no file for."""
    paths = {path.stem: path for path in locations.variant_paths()}
    return load_yaml_model(paths[variant], ModelVariant).title if variant in paths else variant
