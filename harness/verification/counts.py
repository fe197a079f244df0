"""Numbers in the evidence of receipts that can be counted in the files: texts, tokens, answers, figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from harness.spec.measurement import Completion
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded
from harness.verification.texts import PHRASES_SHA256, is_answer, tokens_of

#: Texts of each evaluation that are decoded a second time.
_DECODED = 20
_OF = re.compile(r"(\d+) of (\d+)")
Row = tuple[str, object, object]


def check_counts(run: Recorded, ledger: Ledger) -> None:
    """Compare the evidence of receipts that hold with what the files and the record give."""
    plain = next((cell for cell in run.record.cells if cell.receipt is None and cell.fine_tuning is None), None)
    for cell in run.record.cells:
        for receipt in cell.receipts:
            if receipt.holds:
                name = f"{receipt.stage}/{receipt.name}"
                for what, seen, wanted in _rows(run, cell, plain, name, receipt):
                    ledger.same("evidence of receipts", cell.id, f"{what} of {name}", seen, wanted)


def _rows(run: Recorded, cell: CellResult, plain: CellResult | None, name: str, receipt: StageReceipt) -> Iterator[Row]:
    evidence, texts = receipt.evidence, run.texts.get(cell.id, ())
    seen = sum(share.seen for share in receipt.looked_at)
    if name in ("text/own-prompt", "text/likelihoods", "prompts/every-request"):
        yield "texts", evidence.get("texts"), seen
    elif name == "logits/plain-forward" and receipt.looked_at:
        yield "compared", evidence.get("compared"), seen
    elif name == "weights/own-checkpoints" and cell.fine_tuning is not None:
        yield "checkpoints", evidence.get("checkpoints"), len(cell.fine_tuning.checkpoints)
    elif name == "scorer/aggregation":
        yield "figures", evidence.get("figures"), sum(key.startswith(("asr_", "answered_")) for key in evidence)
    elif name == "scorer/published-scorer":
        yield "phrases_sha256", evidence.get("phrases_sha256"), PHRASES_SHA256[:12]
    elif name == "text/lengths" and texts:
        mean = sum(map(tokens_of, texts)) / len(texts)
        yield "mean_tokens", evidence.get("mean_tokens"), round(mean, 2)
    elif name == "text/decoded" and texts:
        of_each = [sum(text.evaluation == entry.name for text in texts) for entry in run.entries_of(cell)]
        yield "texts", evidence.get("texts"), sum(min(count, _DECODED) for count in of_each)
    elif name == "prompts/system-prompt":
        words = receipt.expected.removeprefix("the system prompt in the prompts of ").removesuffix(" and in no other")
        yield "evaluations_with", evidence.get("evaluations_with"), 0 if words == "no evaluation" else _listed(words)
    elif name == "prompts/one-bos" and "added" not in evidence:
        yield "fields", sorted(evidence), ["elsewhere", "prompts", "two_or_more", "without"]
    elif name == "scorer/zero-shot-accuracy":
        yield "figures", evidence.get("figures"), len(cell.task_hashes) + 1
    if name == "text/own-prompt":
        yield from _read_again(run, cell, receipt, texts)
    if name == "text/benign-answers" and plain is not None and cell.id != plain.id:
        yield from _benign_of_intact(run, plain, cell, receipt)


def _listed(words: str) -> int:
    return words.count(", ") + 1


def _read_again(run: Recorded, cell: CellResult, receipt: StageReceipt, texts: Sequence[Completion]) -> Iterator[Row]:
    """Of each evaluation's tokens no more than there are; without a temperature in float32 all are the likeliest."""
    exact = run.record.variant.get("dtype") == "float32"
    for entry in run.entries_of(cell):
        if not entry.generates_texts:
            continue
        own = [text for text in texts if text.evaluation == entry.name]
        for field, ends in (("likeliest", 0), ("by_the_seed", 1)):
            told = _OF.fullmatch(str(receipt.evidence.get(f"{entry.name}_{field}", "")))
            if told is None:
                continue
            hits, of = int(told[1]), int(told[2])
            most = sum(tokens_of(text) + ends * (text.finish_reason == "stop") for text in own)
            yield f"{entry.name}_{field}, of all tokens at most", hits <= of <= most, True
            if exact and (entry.temperature == 0 or field == "by_the_seed"):
                yield f"{entry.name}_{field}, all of them", hits, of


def _benign_of_intact(run: Recorded, plain: CellResult, cell: CellResult, receipt: StageReceipt) -> Iterator[Row]:
    """What the intact model answers of the first requests: its own cell has the texts."""
    benign: list[Any] = [entry for entry in run.entries_of(cell) if entry.generates_texts and entry.asks_benign]
    asked = receipt.evidence.get("requests")
    if len(benign) != 1 or benign[0].samples != 1 or not isinstance(asked, int):
        return
    own = [text for text in run.texts.get(plain.id, ()) if text.evaluation == benign[0].name]
    answered = sum(is_answer(text.completion_class) for text in own if text.prompt_index < asked)
    yield "answered_by_intact", receipt.evidence.get("answered_by_intact"), answered
