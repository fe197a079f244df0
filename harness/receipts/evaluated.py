"""The third stage of a cell: everything is evaluated, and the edit or fine-tuning still in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.engines.base import ScoreRequest
from harness.formulas.draws import drawn
from harness.models.prompts import PromptFormatter
from harness.receipts import decoding, engine, logits, text
from harness.receipts.before import Before
from harness.receipts.changed import Changed
from harness.receipts.logits import Deviation
from harness.receipts.reference import Reference
from harness.receipts.subject import Seen, Subject
from harness.spec.measurement import Completion
from harness.spec.receipt import LookedAt, StageReceipt

#: Prompts of each evaluation whose first tokens are compared with a plain forward pass, and texts of each call.
COMPARED_PROMPTS, COMPARED_OF_A_CALL = 1, 4


@dataclass(frozen=True)
class Evaluated:
    """What was seen of the evaluations: of the engine, its logits, what it was asked, and its texts."""

    receipts: tuple[StageReceipt, ...]

    @classmethod
    def seen(
        cls, changed: Changed, seen: Sequence[Seen], completions: Sequence[Completion], states: Mapping[str, str]
    ) -> Evaluated:
        """completions: all of the cell, not judged yet. states: fingerprints that the model had before, in words."""
        subject = changed.before.subject
        receipts = [*_weights_and_cache(changed, states), *_logits(subject, seen)]
        for each in seen:
            receipts += each.evaluation.receipts(each.context, each.observed, each.measurements)
        receipts += _likelihood(changed.before)
        if completions:
            receipts += text_receipts(subject.reference, subject.formatter, completions)
            receipts += _texts_again(subject, seen, completions)
        return cls(tuple(receipts))


def _weights_and_cache(changed: Changed, states: Mapping[str, str]) -> Iterator[StageReceipt]:
    held_at_last = changed.before.subject.engine.weights_fingerprint()
    yield engine.held_weights(changed.edited, changed.held, held_at_last, states)
    if changed.deviations and changed.held == changed.edited:  # other weights would be blamed on the cache
        yield engine.no_stale_cache(changed.deviations)


def _logits(subject: Subject, seen: Sequence[Seen]) -> list[StageReceipt]:
    """Of prompts and scored texts that are drawn for the cell."""
    observed, prompts, compared = [each.observed for each in seen], list[tuple[int, ...]](), list[Deviation]()
    cell = subject.cell.id
    for each in seen:
        own, name = each.observed, each.evaluation.settings.name
        places = drawn(cell, f"prompts of {name}", len(own.generated), COMPARED_PROMPTS)
        prompts += [own.generated[place][0].prompt_ids for place in places]
        chosen = [own.scored[place] for place in _of_each_call(cell, name, own.calls)]
        compared += [logits.scored_deviation(subject.model, request, output) for request, output in chosen]
    first = subject.first_token_deviations(prompts)
    if not first and not compared:
        return []
    return [
        logits.as_plain_forward(
            first,
            compared,
            (
                LookedAt(what="prompts", seen=len(first), of=sum(len(each.generated) for each in observed)),
                LookedAt(what="scored texts", seen=len(compared), of=sum(len(each.scored) for each in observed)),
            ),
        ),
        logits.finite(observed, subject.model.dtype),
    ]


def _of_each_call(cell: str, evaluation: str, calls: Sequence[int]) -> list[int]:
    """Places among all texts that were scored, some of each call. calls: how many each of them scored."""
    places, start = [], 0
    for number, count in enumerate(calls):
        own = drawn(cell, f"call {number} of {evaluation}", count, COMPARED_OF_A_CALL)
        places += [start + place for place in own]
        start += count
    return places


def _likelihood(before: Before) -> Iterator[StageReceipt]:
    """What the engine makes of the first window, beside what the intact model made of it."""
    if before.likelihood is None:
        return
    (scored,) = before.subject.engine.score([ScoreRequest(before.window, 1)])
    now = -sum(scored.log_probabilities) / len(scored.log_probabilities)
    intact, within = before.likelihood
    yield text.against_intact(now, intact, before.subject.cell.changes_weights, within)


def text_receipts(
    reference: Reference, formatter: PromptFormatter, completions: Sequence[Completion]
) -> list[StageReceipt]:
    """Of texts that the engine made under the weights that the model has now."""
    model, tokenizer, variant = reference.model, formatter.tokenizer, reference.variant
    ends = text.end_tokens(tokenizer, model.generation_config, variant.chat_template)
    asking = [settings for settings in reference.spec.evaluations if settings.generates_texts]
    stopped = []
    for settings in asking:
        greedy = [
            completion
            for completion in completions
            if completion.evaluation == settings.name
            and completion.finish_reason == "stop"
            and settings.temperature == 0
        ]
        stopped += [
            text.stops_by_itself(model, formatter, each, ends)
            for each in sorted(greedy, key=lambda completion: len(completion.token_ids))[:1]
        ]
    limits = {settings.name: min(settings.max_new_tokens, variant.max_new_tokens) for settings in asking}
    return [
        text.ends_where_the_model_ends(completions, stopped, ends, tokenizer),
        text.lengths(completions, limits),
        text.decoded(completions, tokenizer),
    ]


def _texts_again(subject: Subject, seen: Sequence[Seen], completions: Sequence[Completion]) -> list[StageReceipt]:
    asked = [(each.evaluation.settings, each.observed) for each in seen if each.evaluation.settings.generates_texts]
    ends = frozenset(subject.engine.stop_token_ids)
    read = [decoding.read_again(subject.model, settings, own, ends, subject.cell.id) for settings, own in asked]
    given = {settings.name: observed for settings, observed in asked}
    return [decoding.as_generated(completions, given), decoding.own_prompts(read, subject.model.dtype)]
