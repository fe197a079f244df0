"""States of the model behind canaries: what was to be changed was changed, and in force while texts were written."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.spec.manifest import canary_file
from harness.spec.measurement import Completion
from harness.spec.receipt import StageReceipt
from harness.verification.completions import place_of
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded

#: Evidence of the random mask that is counted over weights: no text has it.
COUNTED = frozenset({"removed", "weights"})
#: Standard deviations of a count of random weights. Fewer than one count in 10^8 lies further off.
_FAR = 6.0
_CHANGED = ("shuffled", "random-mask")


def check_states(run: Recorded, ledger: Ledger) -> None:
    """Note a mask of another size than its share, and states in which every likelihood is the intact model's."""
    for canary in run.record.canaries:
        if f"{canary.stage}/{canary.name}" == "canary/random-mask":
            _check_mask(run, canary, ledger)
    intact = {place_of(text): text for text in run.canaries.get("intact", ())}
    for state in _CHANGED:
        pairs = [(text, intact[place_of(text)]) for text in run.canaries.get(state, ()) if place_of(text) in intact]
        if any(one.choices and other.choices for one, other in pairs):
            words = "whether any likelihood is another than the intact model's"
            ledger.same("choices", canary_file(state), words, _differ(pairs), True)


def _check_mask(run: Recorded, canary: StageReceipt, ledger: Ledger) -> None:
    """So many weights were removed as the share says, of as many as the edits of cells are of."""
    share, removed, weights = (canary.evidence.get(name) for name in ("share", "removed", "weights"))
    totals = [cell.receipt.weights_total for cell in run.record.cells if cell.receipt is not None]
    ledger.same("canary", "the run", "weights of random-mask", weights, totals[0] if totals else weights)
    if not (isinstance(share, float) and isinstance(removed, int) and isinstance(weights, int)):
        ledger.wrong("canary", "the run", "removed of random-mask", removed, "a number of weights")
        return
    expected, deviation = share * weights, math.sqrt(share * (1 - share) * weights)
    near = abs(removed - expected) <= _FAR * deviation
    ledger.same("canary", "the run", "removed of random-mask", removed, removed if near else round(expected))


def _differ(pairs: Sequence[tuple[Completion, Completion]]) -> bool:
    return any(one.choices != other.choices for one, other in pairs)
