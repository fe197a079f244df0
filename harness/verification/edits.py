"""What the record says of an edit: its sizes against each other, against the receipts, and what was asked for."""

from __future__ import annotations

from typing import Any

from harness.spec.cell import Cell
from harness.spec.receipt import EditReceipt, StageReceipt
from harness.spec.result import CellResult
from harness.verification.findings import Ledger

#: A mask may miss the share that was asked for by this much: rounding to whole weights in rows of 32 and more.
_SHARE = 0.02
#: Of regions that hold a share of all linear weights, what says which.
_ASKED = {"top": "fraction", "bottom": "fraction"}
#: Digits that evidence is rounded to.
_ROUNDED = 1e-6


def named(cell: CellResult, name: str) -> list[StageReceipt]:
    """A cell's receipts of one name, stage/name."""
    return [receipt for receipt in cell.receipts if f"{receipt.stage}/{receipt.name}" == name]


def check_edit(cell: CellResult, edit: EditReceipt, declared: Cell | None, ledger: Ledger) -> None:
    """Sizes of an edit against each other, and against the share that was asked for."""
    if edit.weights_selected or edit.rank_share:
        changed = edit.fingerprint_edited != edit.fingerprint_before
        ledger.same("edit", cell.id, "whether it changes weights", changed, True)
    if edit.truth is not None and edit.weights_selected is not None:
        ledger.same("edit", cell.id, "selected weights", edit.truth.selected, edit.weights_selected)
        if declared is not None and declared.region is not None and declared.region.is_planted:
            ledger.same("edit", cell.id, "the planted region beside itself", edit.truth.both, edit.truth.planted)
            ledger.same("edit", cell.id, "the planted region's weights", edit.truth.selected, edit.truth.planted)
    for receipt in named(cell, "mask/truth"):
        for field in ("selected", "planted", "both"):
            told = getattr(edit.truth, field, None)
            ledger.same("evidence of receipts", cell.id, f"{field} of mask/truth", receipt.evidence.get(field), told)
    shares = edit.sparsity_by_layer_type.values()
    if shares and edit.sparsity is not None:
        between = min(shares) - _ROUNDED <= edit.sparsity <= max(shares) + _ROUNDED
        ledger.same("edit", cell.id, "sparsity between those of layer types", between, True)
    region = None if declared is None else declared.region
    asked = None if region is None else getattr(region, _ASKED.get(region.select, ""), None)
    if asked is not None and edit.sparsity is not None:
        ledger.same("edit", cell.id, "sparsity as asked for", abs(edit.sparsity - asked) <= _SHARE, True)
    if edit.rank_share is not None:
        _check_ranks(cell.id, edit, region, ledger)
    for receipt in named(cell, "mask/ranks"):
        told = sum(edit.directions_by_layer.values())
        ledger.same("edit", cell.id, "R of all layers together", told, receipt.evidence.get("directions"))


def _check_ranks(cell: str, edit: EditReceipt, region: Any, ledger: Ledger) -> None:
    """The largest share of a layer's directions, from both numbers of each layer; none more than was asked for."""
    ranks, directions = edit.rank_by_layer, edit.directions_by_layer
    ledger.each_once("edit", cell, ranks, directions)
    shares = [ranks[name] / directions[name] for name in ranks if directions.get(name)]
    ledger.same("edit", cell, "rank_share", edit.rank_share, max(shares, default=0.0))
    for name, rank in ranks.items():
        most = _most_ranks(region, directions.get(name, 0))
        if most is not None:
            ledger.same("edit", cell, f"rank of {name}, no more than asked for", rank <= most, True)


def _most_ranks(region: Any, directions: int) -> int | None:
    """How many ranks a region takes out of a layer with so many directions at most; None where it does not say."""
    whole, asked, kept = (getattr(region, key, None) for key in ("of_directions", "rank", "safety_rank_removed"))
    if isinstance(kept, int):
        asked = (directions if whole is None else whole) - kept
    if not isinstance(asked, int):
        return None
    if whole is None or asked == 0:
        return min(directions, asked)
    return min(directions, max(1, round(asked * directions / whole)))
