"""Which receipts a cell has to have, by what it changes and what is measured in it: one that is left out tells nothing.

What a plugin's own region adds is no part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from harness.spec.cell import Cell
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded

_ALWAYS = (
    "data/declared-files",
    *(f"weights/{name}" for name in ("as-named", "intact-before", "at-rest", "left-as-found")),
    "engine/weights",
)
_OF_TEXTS = (
    *(f"prompts/{name}" for name in ("one-bos", "template", "system-prompt", "requests", "every-request")),
    *(f"prompts/{name}" for name in ("stop-tokens", "tokenizer")),
    *(f"text/{name}" for name in ("stop-tokens", "lengths", "decoded", "as-generated", "own-prompt", "likelihoods")),
)
_OF_OUTPUTS = ("logits/plain-forward", "logits/finite")
_OF_KIND = {
    "attack": ("scorer/published-scorer", "scorer/aggregation"),
    "zero_shot": ("scorer/zero-shot-items",),
    "perplexity": ("scorer/perplexity-windows", "scorer/perplexity-figure", "text/against-intact"),
    "overlap": ("scorer/overlap-counts",),
    "rescored_overlap": ("scorer/overlap-counts", "scorer/kept-bits"),
    "drift": ("scorer/drift-figures",),
    "probing": ("scorer/probes",),
    "subspace_similarity": ("scorer/subspaces",),
}
_ASK_THE_ENGINE = ("attack", "zero_shot", "perplexity")
#: What there is where another one holds: answers of other items cannot be told apart.
_FOLLOWS = {"scorer/zero-shot-items": "scorer/zero-shot-accuracy"}
_SCORED = ("top", "bottom", "set-difference")
_OF_REGION = {
    **dict.fromkeys(_SCORED, ("mask/layers", "mask/selection", "mask/share")),
    **dict.fromkeys(("act-svd", "orthogonal-projection"), ("mask/ranks", "scores/plain-definition")),
    "planted": ("mask/layers", "mask/planted"),
    "attention-heads": ("weights/own-scratch", "mask/layers", "mask/heads", "mask/best-heads", "mask/plain-definition"),
    "matched-random": ("mask/layers", "mask/matched", "mask/plain-definition"),
}
_MEASURED_ONCE = dict.fromkeys((*_SCORED, "act-svd", "orthogonal-projection"), "one_shot")
_OF_SCORES = dict.fromkeys(_SCORED, ("scores/plain-definition",))
_OF_STEPS = (
    *(f"data/{name}" for name in ("training-samples", "no-request-trained")),
    *(f"weights/{name}" for name in ("first-loss", "training-course", "trained-layers")),
    *(f"weights/{name}" for name in ("tuned-update", "tuned-logits")),
)


def check_needed(run: Recorded, cell: CellResult, ledger: Ledger) -> None:
    """Note the receipts that a cell of the spec lacks, and those that are there more than once."""
    declared, entries = run.declared[cell.id], run.entries_of(cell)
    counts = Counter(f"{receipt.stage}/{receipt.name}" for receipt in cell.receipts)
    holds = {f"{receipt.stage}/{receipt.name}": receipt.holds for receipt in cell.receipts}
    stored = ["weights/own-scratch"] if any(_is_stored(run, region) for region in declared.regions) else []
    for name in dict.fromkeys([*_needed(cell, declared, entries, holds), *stored]):
        if counts[name]:
            ledger.agrees["receipt"] += 1
        else:
            ledger.wrong("receipt", cell.id, name, "missing", "a receipt")
    for name, count in counts.items():
        if count > 1 and not name.startswith(("scorer/", "text/benign-answers")):  # those are of each evaluation
            ledger.wrong("receipt", cell.id, name, f"{count} times", "once")


def _is_stored(run: Recorded, region: Any) -> bool:
    """Whether a region is found from what is measured once, of the intact model, and stored."""
    schedule = getattr(region, "schedule", None) or run.spec.attribution.schedule
    once = _MEASURED_ONCE.get(region.select)
    return once is not None and schedule == once


def _needed(cell: CellResult, declared: Cell, entries: Sequence[Any], holds: dict[str, bool]) -> Iterator[str]:
    yield from _ALWAYS
    yield from wanted_of_evaluations(entries)
    yield from (then for name, then in _FOLLOWS.items() if holds.get(name))
    texts = any(entry.generates_texts for entry in entries)
    if texts and declared.changes_weights and holds.get("engine/weights"):
        yield "engine/prefix-cache"  # other weights would be blamed on the cache
    for region in declared.regions:
        yield from _OF_REGION.get(region.select, ())
        if region.calibration_sets:
            yield "data/calibration-samples"
        if region.calibration_sets and texts:
            yield "data/no-evaluation-request"
        if not cell.unchecked:  # else a method of which nobody has a second definition is named there
            yield from _OF_SCORES.get(region.select, ())
    if declared.fine_tuning is None:
        yield "weights/edited-places"
    if cell.receipt is not None and cell.receipt.truth is not None:
        yield "mask/truth"
    if cell.fine_tuning is not None and cell.fine_tuning.steps:
        yield from _OF_STEPS
        if declared.fine_tuning is not None and declared.fine_tuning.frozen is not None:
            yield from ("weights/frozen-set", "weights/frozen-rows")
    if cell.fine_tuning is not None and cell.fine_tuning.checkpoints:
        yield "weights/own-checkpoints"


def wanted_of_evaluations(entries: Sequence[Any]) -> Iterator[str]:
    """The names of receipts that a cell with these evaluations has in any case."""
    if any(entry.generates_texts for entry in entries):
        yield from _OF_TEXTS
    if any(entry.generates_texts or entry.kind in _ASK_THE_ENGINE for entry in entries):
        yield from _OF_OUTPUTS
    for entry in entries:
        if entry.generates_texts and entry.asks_benign:
            yield "text/benign-answers"  # harmless requests are no attack
        else:
            yield from _OF_KIND.get(entry.kind, ())
