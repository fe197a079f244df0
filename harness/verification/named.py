"""What a cell says of itself besides figures: where it was measured, what nobody checks, which mask goes with which."""

from __future__ import annotations

import re
from typing import Any

from harness.errors import UserError
from harness.spec.json_text import load_json_model
from harness.spec.manifest import cell_file
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded
from harness.verification.said import KINDS, SELECTS

#: `<variant>/<benchmark>/<time>-<key>#<cell>`.
_ELSEWHERE = re.compile(r"([\w.-]+)/([\w.-]+)/(\d{8}T\d{6}-[0-9a-f]{8})#([\w.-]+)")
#: What a cell that was measured elsewhere has of its own.
_OWN = {"id", "group", "title", "parameters", "invalid_is_expected", "measured_in"}


def check_named(run: Recorded, ledger: Ledger) -> None:
    """Compare what cells are called by, across cells and runs."""
    for cell in run.record.cells:
        _check_elsewhere(run, cell, ledger)
        _check_unchecked(run, cell, ledger)
        asks = any(entry.asks_tasks for entry in run.entries_of(cell))
        tasks = run.record.variant.get("zero_shot_tasks") if asks else []
        ledger.each_once("task", cell.id, cell.task_hashes, tasks if isinstance(tasks, list) else [])
    _check_masks(run, ledger)


def elsewhere(run: Recorded) -> list[str]:
    """Cells of runs that are not here."""
    return [
        f"that the cell {cell.id} was measured in {cell.measured_in}, which is not here"
        for cell in run.record.cells
        if cell.measured_in is not None and _other(run, cell.measured_in) is None
    ]


def _other(run: Recorded, place: str) -> CellResult | None:
    """The cell that was measured, where its run lies beside this one."""
    found = _ELSEWHERE.fullmatch(place)
    if found is None:
        return None
    path = run.folder.parents[2] / found[1] / found[2] / found[3] / cell_file(found[4])
    try:
        return load_json_model(path, CellResult, "a cell of this version") if path.is_file() else None
    except UserError:
        return None


def _check_elsewhere(run: Recorded, cell: CellResult, ledger: Ledger) -> None:
    """A run of the same variant, and another one; its cell is the same, but for what this benchmark calls it."""
    if cell.measured_in is None:
        ledger.agrees["cell"] += 1
        return
    found = _ELSEWHERE.fullmatch(cell.measured_in)
    own = run.record.id
    fits = found is not None and found[1] == own.split("/")[0] and cell.measured_in.partition("#")[0] != own
    ledger.same("cell", cell.id, "measured_in, another run of the variant", fits, True)
    other = _other(run, cell.measured_in)
    if other is not None:
        alike = other.model_dump(exclude=_OWN) == cell.model_dump(exclude=_OWN)
        ledger.same("cell", cell.id, f"measured_in, as in {cell.measured_in}", alike, True)


def _check_unchecked(run: Recorded, cell: CellResult, ledger: Ledger) -> None:
    """Nothing that ships is named as an evaluation whose figures no receipt makes a second time; a plugin's may be."""
    entries = run.entries_of(cell)
    rest = ": no receipt makes its figures a second time"
    shipped = [entry.name for entry in entries if entry.kind in KINDS]
    told = [words for words in cell.unchecked if words in {f"evaluation {name}{rest}" for name in shipped}]
    ledger.each_once("unchecked", cell.id, told, [])
    names = {str(entry.name) for entry in entries}
    others = [words for words in cell.unchecked if words not in told]
    unknown = [words for words in others if not _of_a_plugin(run, words, names)]
    ledger.same("unchecked", cell.id, "what nobody names", unknown, [])


def _of_a_plugin(run: Recorded, words: str, evaluations: set[str]) -> bool:
    """Whether words name an evaluation, region, method or judge that may have no second definition."""
    what, _, rest = words.partition(" ")
    name, _, why = rest.partition(": ")
    if what == "evaluation":
        return name in evaluations and why.startswith(("no receipt ", "nothing on disk decides "))
    if what == "judge":
        judges = {judge.judge for entry in run.spec.evaluations for judge in entry.judged_by}
        return name in judges - {"keyword"}
    return (what == "region" and name not in SELECTS) or (what == "method" and why == "no plain definition")


def _check_masks(run: Recorded, ledger: Ledger) -> None:
    """Cells that ask the same have the same mask; the same mask is the same model, for the harness and the engine."""
    known: dict[tuple[str, Any], Any] = {}
    for cell in run.record.cells:
        edit = cell.receipt
        if edit is None or edit.mask_sha256 is None or cell.fine_tuning is not None:
            continue
        engine = next(
            (r.evidence.get("edited") for r in cell.receipts if f"{r.stage}/{r.name}" == "engine/weights"), None
        )
        for what, one, other in (
            ("mask of what was asked", cell.asked_sha256, edit.mask_sha256),
            ("fingerprint of the mask", edit.mask_sha256, edit.fingerprint_edited),
            ("mask of the fingerprint", edit.fingerprint_edited, edit.mask_sha256),
            ("engine's weights of the mask", edit.mask_sha256, engine),
        ):
            ledger.same("edit", cell.id, f"{what}, as in other cells", other, known.setdefault((what, one), other))
