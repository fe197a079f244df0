"""Hashes of everything that decides a figure: cells are shared, and runs taken up again, only where they agree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.runs.binding import PLANTED, BoundBenchmark
from harness.runs.computed_by import of_cells
from harness.runs.used_plugins import named_plugins
from harness.spec.benchmark import BenchmarkSpec, Cell

#: What of a spec decides no figure.
_JUDGED_AFTERWARDS = {"title", "source", "claims", "golden_values", "layout"}


@dataclass(frozen=True)
class Surroundings:
    """What is the same for all cells of a variant within one run: weights, tokenizer, machine."""

    model_sha256: str
    tokenizer_sha256: str
    machine: str


def run_key(bound: BoundBenchmark, surroundings: Surroundings) -> str:
    """Hash of what a run asks of which model on which machine: an interrupted run is taken up where it is the same.

    Claims, golden values and words are held against the figures when they are there: they decide none. Code and data
    decide cell by cell, see `cell_basis`. The variant counts as the record holds it, so that whoever has nothing else
    comes to the same key; what absolute paths lead to is there by its hash.
    """
    return digest(
        {
            "spec": bound.spec.model_dump(mode="json", exclude=_JUDGED_AFTERWARDS),
            "variant": bound.variant.as_record(),
            **asdict(surroundings),
        }
    )


def calibration_key(bound: BoundBenchmark, surroundings: Surroundings) -> str:
    """Hash of all that decides the thresholds of validity."""
    asking = [evaluation for evaluation in bound.spec.evaluations if evaluation.generates_texts]
    names = sorted({dataset for evaluation in asking for dataset in evaluation.datasets})
    return digest(
        {
            "evaluations": [evaluation.model_dump(mode="json") for evaluation in asking],
            "validity": bound.spec.validity.model_dump(mode="json"),
            "data": {name: bound.data_sha256[name] for name in names},
            "code": of_cells(named_plugins(bound.variant, *asking)),
            "variant": bound.variant.as_record(),
            **asdict(surroundings),
        }
    )


def canaries_key(bound: BoundBenchmark, surroundings: Surroundings, share: float) -> str:
    """Hash of all that decides the canaries. share: of the weights that the random mask holds."""
    return digest({"calibration": calibration_key(bound, surroundings), "share": share})


def cell_key(
    bound: BoundBenchmark, cell: Cell, surroundings: Surroundings, code: Mapping[str, Any] | None = None
) -> str:
    """Hash of all that decides a cell's figures, whatever the cell and its benchmark are called.

    code: that has measured it; None stands for the one that is here.
    """
    spec = bound.spec
    regions = {name for region in cell.regions for name in region.calibration_sets}
    sets = sorted({*spec.calibration_sets_of_evaluations, *regions})
    return digest(
        {
            "region": None if cell.region is None else cell.region.model_dump(mode="json"),
            "fine_tuning": None if cell.fine_tuning is None else cell.fine_tuning.model_dump(mode="json"),
            "calibration": {name: spec.calibration[name].model_dump(mode="json") for name in sets},
            "attribution": spec.attribution.model_dump(mode="json"),
            "evaluations": [evaluation.model_dump(mode="json") for evaluation in spec.evaluations],
            "validity": spec.validity.model_dump(mode="json"),
            "data": {name: bound.data_sha256[name] for name in _datasets(bound, cell, sets)},
            "code": of_cells(named_plugins(bound.variant, cell, *spec.evaluations)) if code is None else code,
            "variant": bound.variant.as_record(),
            **asdict(surroundings),
        }
    )


def asked_digest(spec: BenchmarkSpec, cell: Cell) -> str:
    """Hash of what a cell measures, as its result has it: whoever files it under another cell leaves a trace."""
    sets = {name for region in cell.regions for name in region.calibration_sets}
    return digest(
        {
            "region": None if cell.region is None else cell.region.model_dump(mode="json"),
            "fine_tuning": None if cell.fine_tuning is None else cell.fine_tuning.model_dump(mode="json"),
            "calibration": {name: spec.calibration[name].model_dump(mode="json") for name in sorted(sets)},
            "attribution": spec.attribution.model_dump(mode="json"),
        }
    )


def cell_basis(bound: BoundBenchmark, cell: Cell, surroundings: Surroundings) -> Mapping[str, Any]:
    """What a finished cell is kept by: its key, and the plugins and code in it, for whoever looks whether it counts."""
    named = named_plugins(bound.variant, cell, *bound.spec.evaluations)
    return {"key": cell_key(bound, cell, surroundings), "plugins": named, "code": of_cells(named)}


def _datasets(bound: BoundBenchmark, cell: Cell, sets: list[str]) -> list[str]:
    """Names of the files that a cell's figures rest on."""
    names = {dataset for region in cell.regions for dataset in region.datasets}
    names |= {PLANTED} if bound.planted_path else set()
    names |= {cell.fine_tuning.dataset} if cell.fine_tuning else set()
    names |= {bound.spec.calibration[name].dataset for name in sets}
    names |= {dataset for evaluation in bound.spec.evaluations for dataset in evaluation.datasets}
    tasks = {task for task in bound.variant.zero_shot_tasks if task in bound.variant.datasets}
    names |= tasks | {name for name in bound.data_sha256 if name.partition("/")[0] in tasks}  # `<task>/<split>`
    return sorted(names)


def digest(content: dict[str, object]) -> str:
    """SHA-256 of content that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
