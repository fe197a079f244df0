"""What a run has to consist of, by its spec: cells, figures, receipts, each once, as they were declared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from harness.spec.benchmark import BenchmarkSpec
from harness.spec.cell import Cell, CellGroup
from harness.spec.result import CellResult, RunRecord
from harness.verification.attacks import attack_names
from harness.verification.findings import Ledger
from harness.verification.needed import check_needed
from harness.verification.points import declared_cells
from harness.verification.recorded import Recorded


def check_structure(run: Recorded, ledger: Ledger) -> None:
    """Compare a record's parts with what its spec declares."""
    record, spec = run.record, run.spec
    ledger.same("name", "the run", "benchmark", record.id.split("/")[1:2], [spec.id])
    ledger.same("name", "the run", "variant", record.id.split("/")[:1], [record.variant.get("name")])
    declared = {cell_id: (group, point) for cell_id, group, point in declared_cells(spec)}
    # What a region needs, its settings alone can say, since it may be a plugin's; everything else is expanded here.
    expanded = run.declared
    planted = {name for name, cell in expanded.items() if cell.requires_planted_region}
    reasons = {name: _why_not(name, group, planted, record.variant) for name, (group, _) in declared.items()}
    skipped = {name: why for name, why in reasons.items() if why is not None}
    ledger.each_once("cell", "the run", [cell.id for cell in record.cells], [c for c in declared if c not in skipped])
    order = [cell for cell in declared if record.cell(cell) is not None]
    ledger.same("cell", "the run", "order", [cell.id for cell in record.cells if cell.id in declared], order)
    for name in sorted({*skipped, *record.skipped_cells}):
        ledger.same("skipped cell", name, "reason", record.skipped_cells.get(name), skipped.get(name))
    for cell in record.cells:
        if cell.id in declared:
            _check_cell(run, cell, declared[cell.id], ledger)
        if cell.id in expanded:
            ledger.same("cell", cell.id, "what was measured", cell.asked_sha256, _asked(spec, expanded[cell.id]))
            check_needed(run, cell, ledger)
    hashes = {task: words for cell in record.cells for task, words in cell.task_hashes.items()}
    ledger.same("task", "the run", "hashes", record.provenance.task_hashes, hashes)
    for cell in record.cells:
        for task, words in cell.task_hashes.items():
            ledger.same("task", cell.id, task, words, hashes[task])
    _check_data(run, record, ledger)


def _asked(spec: BenchmarkSpec, cell: Cell) -> str:
    """SHA-256 of what a cell removes or trains, and of the data and the ways by which that is found."""
    data = sorted({name for region in cell.regions for name in region.calibration_sets})
    parts = {
        "attribution": spec.attribution,
        "calibration": {name: spec.calibration[name] for name in data},
        "fine_tuning": cell.fine_tuning,
        "region": cell.region,
    }
    text = json.dumps(parts, default=lambda part: part.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _why_not(name: str, group: CellGroup, planted: set[str], variant: Mapping[str, Any]) -> str | None:
    """Why a variant, as the record holds it, cannot have a cell. planted: the cells that need a planted region."""
    called = str(variant.get("name"))
    if variant.get("planted_region") is None and name in planted:
        return f"the variant {called} has no planted region"
    if group.variants and not any(fnmatchcase(called, pattern) for pattern in group.variants):
        return f"these numbers are for {', '.join(group.variants)}"
    return None


def _check_cell(run: Recorded, cell: CellResult, declared: tuple[CellGroup, dict[str, Any]], ledger: Ledger) -> None:
    group, point = declared
    for name, recorded, wanted in (
        ("group", cell.group, group.id),
        ("title", cell.title, group.title),
        ("parameters", cell.parameters, point),
        ("invalid_is_expected", cell.invalid_is_expected, group.invalid_is_expected),
        ("an edit", cell.receipt is not None, group.region is not None),
        ("a fine-tuning", cell.fine_tuning is not None, group.fine_tuning is not None),
    ):
        ledger.same("cell", cell.id, name, recorded, wanted)
    entries = run.entries_of(cell)
    _check_metrics(run, cell, entries, ledger)


#: The metrics of kinds that are read a second time, from the settings and the variant as the record holds it.
_METRICS: Mapping[str, Callable[[Any, Mapping[str, Any]], list[str]]] = {
    "attack": lambda entry, variant: attack_names(entry),
    "perplexity": lambda entry, variant: [entry.name],
    "zero_shot": lambda entry, variant: [
        f"{entry.name}_{part}" for part in (*variant.get("zero_shot_tasks", ()), "mean", "chance")
    ],
}


def _check_metrics(run: Recorded, cell: CellResult, entries: list[Any], ledger: Ledger) -> None:
    """Every metric once, and none that no evaluation gives."""
    found = [measured.metric for measured in cell.measurements]
    wanted: list[str] = []
    for entry in entries:
        known = _METRICS.get(entry.kind)
        if known is not None:
            wanted += known(entry, run.record.variant)
            continue
        optional, prefixes = {*entry.conditional_metrics}, tuple(entry.metric_prefixes)
        own = [name for name in found if name in optional or name.startswith(prefixes)]
        wanted += [*dict.fromkeys([*(name for name in entry.metrics if name not in optional), *own])]
    if cell.receipt is not None and cell.receipt.truth is not None:
        truth = cell.receipt.truth
        wanted += ["planted_precision"] if truth.selected else []
        wanted += ["planted_recall"] if truth.planted else []
    ledger.each_once("metric", cell.id, found, wanted)


def _check_data(run: Recorded, record: RunRecord, ledger: Ledger) -> None:
    """Data whose SHA-256 the variant declares, under those that were used; and the hash of all that the spec names."""
    spec = run.spec
    names = [name for entry in spec.evaluations for name in entry.datasets]
    measured = {cell.id for cell in record.cells}
    regions = [region for cell in run.declared.values() if cell.id in measured for region in cell.regions]
    names += [spec.calibration[name].dataset for region in regions for name in region.calibration_sets]
    for name in dict.fromkeys(names):
        if name not in record.provenance.data_sha256:
            ledger.wrong("data", "the run", name, "no SHA-256", "that of the file")
    for name, declared in record.variant.get("datasets", {}).items():
        used = record.provenance.data_sha256.get(name)
        if used is not None and declared.get("sha256") is not None:
            ledger.same("data", "the run", name, used, declared["sha256"])
