"""What receipts of fine-tunings say, against the spec, the variant, the other receipts and each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from harness.spec.cell import Cell
from harness.spec.receipt import FineTuningReceipt
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded

#: By which a share of whole weights may miss a whole number of them.
_WHOLE = 1e-3


def check_tunings(run: Recorded, ledger: Ledger) -> None:
    """Compare the receipt of every fine-tuning."""
    declared = run.declared
    linear = next((cell.receipt.weights_total for cell in run.record.cells if cell.receipt is not None), None)
    for cell in run.record.cells:
        if cell.fine_tuning is not None and cell.id in declared:
            _check(run, cell, cell.fine_tuning, declared[cell.id], linear, ledger)


def _check(
    run: Recorded, cell: CellResult, told: FineTuningReceipt, declared: Cell, linear: int | None, ledger: Ledger
) -> None:
    wanted = _settings(declared, run.record.variant)
    for name in sorted({*wanted, *told.settings}):
        ledger.same("fine-tuning", cell.id, f"{name} of the settings", told.settings.get(name), wanted.get(name))
    for name, recorded, should in (*_course(told, wanted), *_fingerprints(run, cell, told), *_weights(told, wanted)):
        ledger.same("fine-tuning", cell.id, name, recorded, should)
    if linear is not None and told.frozen_checked:
        share = told.frozen_checked / linear
        ledger.same("fine-tuning", cell.id, "frozen share of linear weights", told.frozen_share_of_linear, share)


def _settings(declared: Cell, variant: Mapping[str, Any]) -> dict[str, Any]:
    """As the spec has them, with the variant's own values instead: none for the control that takes no step."""
    if declared.fine_tuning is None:
        return {}
    wanted: dict[str, Any] = declared.fine_tuning.model_dump(mode="json", exclude_none=True)
    by_method = variant.get("fine_tuning")
    own = by_method.get(wanted["method"]) if isinstance(by_method, dict) else None
    for name, value in own.items() if isinstance(own, dict) else ():
        control = name == "examples" and wanted["examples"] == 0
        if not control and not (name == "checkpoint_every" and name not in wanted):
            wanted[name] = value
    return wanted


def _course(told: FineTuningReceipt, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Steps, examples and checkpoints; the losses of none and of one step."""
    batch = wanted["batch_size"] * wanted["gradient_accumulation"]
    steps = wanted["epochs"] * -(-wanted["examples"] // batch)
    yield "steps", told.steps, steps
    yield "examples", told.examples, wanted["examples"]
    every = wanted.get("checkpoint_every")
    saved = [] if every is None else [*range(every, steps + 1, every)] if steps else [0]
    yield "steps of checkpoints", [checkpoint.step for checkpoint in told.checkpoints], saved
    losses = (told.loss_first, told.loss_last)
    real = all(loss is not None and math.isfinite(loss) and loss >= 0 for loss in losses)
    yield "whether it has losses", real if steps else losses != (None, None), steps > 0
    if steps == 1:
        yield "the loss of the last step, which is the first", told.loss_last, told.loss_first


def _fingerprints(run: Recorded, cell: CellResult, told: FineTuningReceipt) -> Iterator[tuple[str, Any, Any]]:
    """It begins with the intact model, and what it ends with is what the engine held."""
    yield "fingerprint before", told.fingerprint_before, run.record.provenance.model_sha256
    yield "whether it moved weights", told.fingerprint_after != told.fingerprint_before, bool(told.moved_share)
    receipts = {f"{receipt.stage}/{receipt.name}": receipt for receipt in cell.receipts if receipt.holds}
    engine, first = receipts.get("engine/weights"), receipts.get("weights/first-loss")
    if engine is not None and cell.receipt is None:
        held = str(engine.evidence.get("edited"))
        yield "fingerprint after", told.fingerprint_after[: len(held)], held
    if first is not None:
        yield "the first loss, as a receipt saw it", told.loss_first, first.evidence.get("seen")


def _weights(told: FineTuningReceipt, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """How many were frozen, trained and moved."""
    frozen = "frozen" in wanted
    yield "whether weights were frozen", bool(told.frozen_checked), frozen
    yield "whether a mask of frozen weights is named", told.frozen_mask_sha256 is not None, frozen
    yield "frozen weights that changed", told.frozen_changed, 0
    yield "frozen shares in order", told.frozen_share_of_all <= told.frozen_share_of_linear, True
    if not frozen:
        yield "frozen shares", (told.frozen_share_of_linear, told.frozen_share_of_all), (0.0, 0.0)
    for name, share in (("moved", told.moved_share), ("swallowed", told.swallowed_share)):
        yield f"whether a share {name}", share is not None, told.weights_trainable > 0
        if share is not None:
            count = share * told.weights_trainable
            fits = 0 <= share <= 1 and abs(count - round(count)) < _WHOLE * max(1.0, count * 1e-9)
            yield f"a whole number of weights that {name}", fits, True
    if told.moved_share is not None and told.swallowed_share is not None:
        yield "weights that moved or were swallowed, all at most", told.moved_share + told.swallowed_share <= 1.0, True
