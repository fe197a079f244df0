"""What a cell's evaluations asked the engine: the receipts of their prompts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.receipts import prompt_ends, prompts
from harness.receipts.requests import every_request
from harness.receipts.subject import Seen, Subject
from harness.spec.receipt import StageReceipt


def prompt_receipts(subject: Subject, seen: Sequence[Seen]) -> list[StageReceipt]:
    """Receipts of all prompts of a cell, none where nothing was asked."""
    reference, fresh, in_use = subject.reference, subject.reference.tokenizer, subject.formatter.tokenizer
    asking = [each for each in seen if each.evaluation.settings.generates_texts]
    asked = [
        prompts.received(
            reference.asked(each.evaluation.settings),
            [request for request, _ in each.observed.generated],
            each.observed.seen,
            in_use.pad_token_id,
        )
        for each in asking
    ]
    scored = [request for each in seen if each.evaluation.scores_prompts for request, _ in each.observed.scored]
    if not asked and not scored:
        return []
    receipts = [prompt_ends.one_bos(asked, scored, fresh, reference.opening)]
    if asked:
        receipts += [
            prompts.framed(asked, reference.variant, fresh, reference.golden_prompts),
            prompts.system_prompt_where_asked(asked, reference.variant, fresh),
            prompts.requests_in_the_prompts(asked, fresh),
            every_request(
                {each.evaluation.settings.name: reference.requests_of(each.evaluation.settings) for each in asking},
                {each.evaluation.settings.name: [r for r, _ in each.observed.generated] for each in asking},
            ),
            prompt_ends.stop_tokens(subject.engine.stop_token_ids, reference.stop_tokens, reference.variant, fresh),
        ]
    own_ids = [reference.own_ids(each.evaluation.settings) for each in asking]
    golden = reference.golden_prompts
    return [*receipts, prompts.same_tokenizer(asked, own_ids, reference.variant, fresh, in_use, golden)]
