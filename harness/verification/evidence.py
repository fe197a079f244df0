"""What receipts say they saw, against each other, the figures and the files: shares, counts, fingerprints, sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.spec.measurement import Completion, RawValues
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult
from harness.verification.edits import check_edit, named
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded
from harness.verification.texts import is_answer, tokens_of, words_of

#: What is counted of mistakes: 0 wherever the receipt holds.
_MISTAKES: Mapping[str, tuple[str, ...]] = {
    "data/declared-files": ("wrong",),
    "data/no-evaluation-request": ("in_files", "in_use"),
    "data/no-request-trained": ("in_files", "in_use"),
    "logits/finite": ("likelihoods", "texts"),
    "mask/layers": ("problems",),
    "mask/planted": ("weights_otherwise",),
    "mask/selection": ("layers", "weights_otherwise"),
    "mask/truth": ("wrong",),
    "prompts/every-request": ("problems",),
    "prompts/one-bos": ("elsewhere", "two_or_more", "without"),
    "prompts/tokenizer": ("golden_differences", "prompts_otherwise"),
    "scorer/aggregation": ("wrong",),
    "scorer/published-scorer": ("wrong",),
    "scorer/zero-shot-accuracy": ("wrong",),
    "scores/every-block": ("off",),
    "scores/sign": ("data_of_other_sign", "safety_negative", "utility_negative"),
    "text/decoded": ("wrong",),
    "text/lengths": ("wrong",),
    "text/likelihoods": ("off",),
    "text/stop-tokens": ("beyond_the_end", "early"),
    "weights/as-named": ("problems",),
    "weights/at-rest": ("found",),
    "weights/edited-places": ("parameters_wrong",),
    "weights/frozen-set": ("frozen_moved", "others_stuck"),
    "weights/left-as-found": ("problems",),
    "weights/own-checkpoints": ("changed", "layers_differing"),
    "weights/own-scratch": ("foreign",),
    "weights/trained-layers": ("others_moved",),
    "weights/tuned-update": ("lost", "off"),
}
#: What has to be one and the same wherever the receipt holds.
_ALIKE: Mapping[str, tuple[str, ...]] = {
    "engine/weights": ("edited", "at_first", "at_last"),
    "weights/intact-before": ("expected", "seen"),
    "scorer/zero-shot-items": ("answers_expected", "answers_scored"),
}
#: Receipts that say which share they looked at.
_SHARED = (
    *("data/calibration-samples", "data/training-samples", "logits/plain-forward", "prompts/every-request"),
    *("scorer/zero-shot-accuracy", "scores/plain-definition", "text/likelihoods"),
    *("text/own-prompt", "weights/as-named", "weights/at-rest", "weights/first-loss", "weights/left-as-found"),
    *("weights/trained-layers", "weights/training-course", "weights/tuned-update"),
)
#: Digits that evidence is rounded to.
_ROUNDED = 1e-6


def check_evidence(run: Recorded, ledger: Ledger) -> None:
    """Compare the evidence of all receipts."""
    cells = run.declared
    first = next(iter(run.record.cells), None)
    for cell in run.record.cells:
        for receipt in cell.receipts:
            _check_itself(cell, receipt, ledger)
        if cell.id in cells and any(region.calibration_sets for region in cells[cell.id].regions):
            for receipt in named(cell, "scores/every-block"):
                told = any(share.what == "samples" for share in receipt.looked_at)
                ledger.same("share", cell.id, "whether scores/every-block says of how many samples", told, True)
        for name, field, wanted in _from_files(run, cell):
            for receipt in named(cell, name):
                ledger.same("evidence of receipts", cell.id, f"{field} of {name}", receipt.evidence.get(field), wanted)
        _check_shares(run, cell, ledger)
        _check_figures(cell, ledger)
        _check_benign(run, cell, ledger)
        ledger.same("cell", cell.id, "seconds, none below 0", cell.seconds >= 0, True)
        if first is not None:
            _check_model(run, cell, first, ledger)
        if cell.receipt is not None:
            check_edit(cell, cell.receipt, cells.get(cell.id), ledger)
            known = run.record.variant.get("planted_region") is not None and cell.receipt.mask_sha256 is not None
            ledger.same("edit", cell.id, "whether a planted region is known", cell.receipt.truth is not None, known)


def _check_itself(cell: CellResult, receipt: StageReceipt, ledger: Ledger) -> None:
    """Mistakes that were counted, and things that are not alike, where a receipt holds; shares beyond the whole."""
    name = f"{receipt.stage}/{receipt.name}"
    if receipt.holds:
        for field in (*_MISTAKES.get(name, ()), *_negative_ones(receipt)):
            if field in receipt.evidence:
                ledger.same("evidence of receipts", cell.id, f"{field} of {name}", receipt.evidence[field], 0)
        fields = [receipt.evidence.get(field) for field in _ALIKE.get(name, ())]
        if fields:
            ledger.same("evidence of receipts", cell.id, f"what is alike in {name}", len(set(fields)), 1)
    if name in _SHARED and receipt.holds:
        ledger.same("share", cell.id, f"whether {name} says one", bool(receipt.looked_at), True)
    for share in receipt.looked_at:
        fits = 0 <= share.seen <= share.of and not (receipt.holds and share.what != "right answers" and _blind(share))
        ledger.same("share", cell.id, f"{share.what} of {name}, some and no more than all", fits, True)


def _negative_ones(receipt: StageReceipt) -> list[str]:
    """Fields that count scores below 0, of a method whose plain definition says of no number that it is one."""
    told = receipt.evidence.keys() if receipt.name == "sign" else ()
    return [field for field in told if field.endswith("_negative") and f"{field}_by_definition" not in told]


def _blind(share: Any) -> bool:
    return bool(share.of > 0 and share.seen == 0)


def _from_files(run: Recorded, cell: CellResult) -> Iterator[tuple[str, str, object]]:
    """(receipt, field, value) of what can be counted on disk."""
    texts = run.texts.get(cell.id, ())
    if texts:
        for name in ("text/lengths", "text/stop-tokens", "text/as-generated"):
            yield name, "texts", len(texts)
        yield "text/stop-tokens", "at_the_limit", sum(text.finish_reason == "length" for text in texts)
        yield "text/stop-tokens", "empty", sum(not tokens_of(text) for text in texts)
    of_kind: dict[str, list[Any]] = {}
    for entry in run.entries_of(cell):
        of_kind.setdefault(entry.kind, []).append(entry)
    for kind, entries in of_kind.items():
        if kind in _COUNTED and len(entries) == 1:  # of several, receipts do not say which is whose
            rows = [row for row in run.raw.get(cell.id, ()) if row.evaluation == entries[0].name]
            yield from _COUNTED[kind](entries[0], rows)


def _windows(entry: Any, rows: Sequence[RawValues]) -> Iterator[tuple[str, str, object]]:
    yield "scorer/perplexity-windows", "windows", len(rows)
    yield "scorer/perplexity-windows", "window_tokens", entry.window_tokens
    yield "scorer/perplexity-figure", "tokens", len(rows) * (entry.window_tokens - 1)


def _items(entry: Any, rows: Sequence[RawValues]) -> Iterator[tuple[str, str, object]]:
    yield "scorer/zero-shot-items", "items", len(rows)
    yield "scorer/zero-shot-items", "answers_expected", sum(len(row.values) for row in rows)


_COUNTED: Mapping[str, Callable[[Any, Sequence[RawValues]], Iterator[tuple[str, str, object]]]] = {
    "perplexity": _windows,
    "zero_shot": _items,
}


def _check_shares(run: Recorded, cell: CellResult, ledger: Ledger) -> None:
    """Of how many a share is one."""
    texts = run.texts.get(cell.id, ())
    words = set(map(words_of, texts)) - {""}
    for name, what, wanted in (
        ("text/own-prompt", "texts", len(texts)),
        ("prompts/every-request", "requests", len(texts)),
        ("text/likelihoods", "judged texts", len(words)),
    ):
        for receipt in named(cell, name):
            found = [share.of for share in receipt.looked_at if share.what == what]
            ledger.same("share", cell.id, f"all {what} of {name}", found, [wanted])


def _check_figures(cell: CellResult, ledger: Ledger) -> None:
    """Figures that a receipt of the scorer has, too."""
    for receipt in named(cell, "scorer/aggregation"):
        for metric, seen in receipt.evidence.items():
            measured = cell.measurement(metric)
            if measured is not None and measured.value is not None and isinstance(seen, int | float):
                alike = abs(float(seen) - measured.value) <= _ROUNDED
                ledger.same("evidence of receipts", cell.id, f"{metric} of scorer/aggregation", alike, True)


def _check_benign(run: Recorded, cell: CellResult, ledger: Ledger) -> None:
    """How many of the first benign requests are answered."""
    entries = [entry for entry in run.entries_of(cell) if entry.generates_texts and entry.asks_benign]
    for entry, receipt in zip(entries, named(cell, "text/benign-answers"), strict=False):
        own = [text for text in run.texts.get(cell.id, ()) if text.evaluation == entry.name]
        asked = receipt.evidence.get("requests")
        if entry.samples == 1 and isinstance(asked, int):
            seen = receipt.evidence.get("answered")
            ledger.same("evidence of receipts", cell.id, "answered of text/benign-answers", seen, _answered(own, asked))


def _answered(texts: Sequence[Completion], first: int) -> int:
    return sum(is_answer(text.completion_class) for text in texts if text.prompt_index < first)


def _check_model(run: Recorded, cell: CellResult, first: CellResult, ledger: Ledger) -> None:
    """All cells begin with the one model that the run is about, in the dtype that is declared."""
    whole = str(run.record.provenance.model_sha256)
    for receipt in named(cell, "weights/intact-before"):
        seen = receipt.evidence.get("expected")
        ledger.same("model", cell.id, "fingerprint before the cell", seen, whole[: len(str(seen))])
    dtype = run.record.variant.get("dtype")
    for receipt in named(cell, "logits/finite"):
        if isinstance(dtype, str):
            ledger.same("model", cell.id, "dtype", receipt.evidence.get("dtype"), dtype)
    edits = [each.receipt for each in (first, *run.record.cells) if each.receipt is not None]
    if cell.receipt is not None:
        for field in ("fingerprint_before", "weights_total"):
            ledger.same("edit", cell.id, field, getattr(cell.receipt, field), getattr(edits[0], field))
        linear = next((each.evidence.get("linear_weights") for each in cell.receipts if each.name == "as-named"), None)
        ledger.same("edit", cell.id, "weights_total", cell.receipt.weights_total, linear)
