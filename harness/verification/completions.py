"""Texts on disk: each there once, under its prompt, within its limit, and of the class that its evidence makes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from harness.spec.manifest import OWN_TEXTS, canary_file
from harness.spec.measurement import Completion
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.partings import check_partings
from harness.verification.prompts import Asked, called, marked
from harness.verification.recorded import Recorded
from harness.verification.texts import LIMITS, check_evidence, class_of, tokens_of, words_of

#: So many texts of an evaluation are missed one by one: a stranger's spec may ask for billions.
_MISSED = 1000
#: Nats a token by which rounding, in 16 bits and in other batches, moves how likely a text is.
_LIKELIHOOD = 0.1
#: The probability of two tokens together, as log-probabilities of seven digits have it; in 16 bits, of three.
_WHOLE = 1.0 + 1e-2
#: What texts are called by, in differences.
Place = tuple[str, int, int | None, int]


def place_of(text: Completion) -> Place:
    """Evaluation, and the numbers of prompt, suffix and sample."""
    return text.evaluation, text.prompt_index, text.suffix_index, text.sample_index


def check_texts(run: Recorded, asked: Asked, ledger: Ledger) -> dict[str, list[Completion]]:
    """Compare the texts of every cell with what was asked. Gives them back, each with its class as it should be."""
    judged = {}
    for cell in run.record.cells:
        texts = run.texts.get(cell.id, ())
        if run.record.texts_taken_out_of is None:
            ledger.same("texts", cell.id, "SHA-256", cell.completions_sha256, run.texts_sha256.get(cell.id))
        ledger.each_once("text", cell.id, map(place_of, texts), _places(run, cell, asked))
        judged[cell.id] = [checked(run, cell.id, text, ledger) for text in texts]
        _check_classes(cell, judged[cell.id], ledger)
        check_partings(run, cell, judged[cell.id], ledger)
    _check_same_tokens(run, ledger)
    _check_same_losses(run, ledger)
    return judged


def _places(run: Recorded, cell: CellResult, asked: Asked) -> list[Place]:
    """Of all texts that a cell has to have. Those of one that is measured elsewhere only are none of it."""
    places: list[Place] = []
    for entry in run.entries_of(cell):
        if not entry.generates_texts:
            continue
        own = (
            (entry.name, prompt, number, sample)
            for prompt in range(entry.prompts)
            for number in asked.suffixes(entry)
            for sample in range(entry.samples)
        )
        places += islice(own, len(run.texts.get(cell.id, ())) + _MISSED)
    return places


def checked(run: Recorded, place: str, text: Completion, ledger: Ledger) -> Completion:
    """Compare what is said of one text with what follows from it. Gives it back, its class as it should be.

    place: the cell that it is of, or the state of a canary.
    """
    entry: Any = run.by_name.get(text.evaluation)
    if entry is None or not entry.generates_texts:
        return text
    name = called(text)
    limit, tokens = limit_of(run, entry), tokens_of(text)
    cut = "length" if tokens >= limit else "stop"
    taken_out = run.record.texts_taken_out_of is not None
    ledger.same("texts", place, f"whether {name} was taken out", text.withheld is not None, taken_out)
    if text.withheld is not None:
        ledger.same("texts", place, f"what is left of {name}", (text.text, text.token_ids, text.choices), ("", (), ()))
    ledger.same("end of text", place, name, text.finish_reason, cut)
    if tokens > limit:
        ledger.wrong("tokens", place, name, tokens, f"{limit} at most")
    if text.choices:
        _check_choices(place, text, ledger)
    check_evidence(place, name, text, ledger)
    way = "greedy" if entry.temperature == 0 else "sampled"
    limits = run.record.validity_thresholds.get(way)
    if limits is None or not limits.keys() >= LIMITS:
        ledger.wrong("class", place, name, text.completion_class, "limits of validity to judge it by")
        return text
    wanted = class_of(text, limits)
    ledger.same("class", place, name, text.completion_class, wanted)
    return text.model_copy(update={"completion_class": wanted})


def limit_of(run: Recorded, entry: Any) -> int:
    """How many tokens a text may have: what the spec says, or less where the variant does, which may say nothing."""
    own = run.record.variant.get("max_new_tokens")
    most = int(entry.max_new_tokens)
    return min(most, own) if isinstance(own, int) and not isinstance(own, bool) else most


def _check_choices(place: str, text: Completion, ledger: Ledger) -> None:
    """Of a greedy text: the tokens that were chosen, each likelier than the next one, both no more than all."""
    stopped = text.finish_reason == "stop"
    ledger.same("choices", place, f"number of {called(text)}", len(text.choices), len(text.token_ids) + stopped)
    other = [
        position
        for position, (token, (chosen, own, second, likelihood)) in enumerate(
            zip(text.token_ids, text.choices, strict=False)
        )
        if token != chosen and not (token == second and own == likelihood)  # of a tie, either
    ]
    ledger.same("tokens", place, called(text), other, [])
    unlikely = [
        position
        for position, (_, own, _, other) in enumerate(text.choices)
        if own is not None and other is not None and (own < other or math.exp(own) + math.exp(other) > _WHOLE)
    ]
    ledger.same("choices", place, called(text), unlikely, [])


def _check_classes(cell: CellResult, texts: Sequence[Completion], ledger: Ledger) -> None:
    """How many texts of each evaluation are of each class."""
    counts: dict[str, dict[str, int]] = {}
    for text in texts:
        own = counts.setdefault(text.evaluation, {})
        own[str(text.completion_class)] = own.get(str(text.completion_class), 0) + 1
    for name in sorted({*counts, *cell.completion_classes}):
        recorded = {str(kind): n for kind, n in cell.completion_classes.get(name, {}).items()}
        ledger.same("classes", cell.id, name, recorded, counts.get(name, {}))


def _everywhere(run: Recorded) -> list[tuple[str, Completion]]:
    """All texts on disk, each with where it is."""
    places = [(OWN_TEXTS, run.own_texts or ())]
    places += [(cell.id, run.texts.get(cell.id, ())) for cell in run.record.cells]
    places += [(canary_file(state), texts) for state, texts in run.canaries.items()]
    return [(place, text) for place, texts in places for text in texts]


def _check_same_tokens(run: Recorded, ledger: Ledger) -> None:
    """The same tokens are the same text, wherever they were generated."""
    known: dict[tuple[int, ...], str] = {}
    for place, text in _everywhere(run):
        if text.withheld is None:
            first = known.setdefault(text.token_ids, text.text)
            ledger.same("decoded text", place, called(text), marked(text.text), marked(first))


def _check_same_losses(run: Recorded, ledger: Ledger) -> None:
    """The intact model finds the same text as likely in every cell as where it set the limits, within rounding."""
    known: dict[str, Completion] = {}
    for place, text in _everywhere(run):
        first = known.setdefault(words_of(text), text)
        one, other = (each.evidence.get("mean_nll") for each in (text, first))
        if one is None or other is None or abs(one - other) > _LIKELIHOOD:
            ledger.same("evidence", place, f"mean_nll of {called(text)}, as of the same text", one, other)
