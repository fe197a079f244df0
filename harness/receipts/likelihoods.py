"""The receipt of how likely the intact model finds texts, by which it is judged whether they are answers at all."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engines.base import ScoredTokens, ScoreRequest
from harness.formulas.draws import drawn
from harness.receipts.logits import Deviation, scored_deviation
from harness.receipts.reference import Reference
from harness.receipts.subject import Subject
from harness.spec.measurement import Completion
from harness.spec.packed import unpacked
from harness.spec.receipt import LookedAt, StageReceipt

#: Texts of a cell that are read a second time, and the longest part of one that is.
READ, LONGEST = 3, 256


def as_intact(subject: Subject, completions: Sequence[Completion]) -> StageReceipt:
    """Texts drawn for the cell, by a plain forward pass. completions: judged. The model has to be intact."""
    return of_texts(subject.reference, subject.cell.id, completions)


def of_texts(reference: Reference, place: str, completions: Sequence[Completion]) -> StageReceipt:
    """The same of texts elsewhere. reference: its model has to be intact. place: for which texts are drawn."""
    texts = {" ".join(each.text.split()): each for each in completions}
    words = sorted(text for text in texts if text)
    places = drawn(place, "likelihoods of texts", len(words), READ)
    return _receipt([_deviation(reference, words[each], texts[words[each]]) for each in places], len(words))


def _deviation(reference: Reference, words: str, completion: Completion) -> Deviation:
    """How far the likelihoods that the text was judged by lie from the model's own; infinite for other tokens."""
    tokenizer = reference.tokenizer
    special = {*tokenizer.all_special_ids}
    own = [token for token in tokenizer.encode(words, add_special_tokens=False) if token not in special][:LONGEST]
    before, losses = reference.before_answers, unpacked(completion.losses)
    ids, first = (*before, *own), max(1, len(before))
    if len(losses) != max(0, len(ids) - first):
        return Deviation(float("inf"), 0.0)
    if not losses:
        return Deviation(0.0, 0.0)
    judged_by = ScoredTokens(tuple(-loss for loss in losses), ())
    return scored_deviation(reference.model, ScoreRequest(ids, first), judged_by)


def _receipt(found: Sequence[Deviation], of: int) -> StageReceipt:
    off = sum(not each.within_rounding for each in found)
    worst = max((each.largest for each in found), default=0.0)
    return StageReceipt(
        stage="text",
        name="likelihoods",
        holds=not off,
        expected="texts to be as likely to the intact model as a plain forward pass says, behind what a text "
        "begins with, with single spaces",
        seen=f"{off} of {len(found)} that are not, by up to {worst:.3g} nats a token" if off else "that",
        advice="by this it is told whether a text is an answer: look at which model judges, whether it is intact "
        "again, and at which text it is asked about",
        evidence={
            "texts": len(found),
            "off": off,
            "largest_deviation_nats": round(worst, 9) if worst < float("inf") else "not finite",
        },
        looked_at=(LookedAt(what="judged texts", seen=len(found), of=of),),
    )
