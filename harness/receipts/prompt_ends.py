"""Receipts of where a prompt begins and an answer ends: BOS, and the tokens that stop generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from transformers import PreTrainedTokenizerBase

from harness.engines.base import ScoreRequest
from harness.receipts.plain_prompts import TURN_ENDS
from harness.receipts.prompts import Ids, ReceivedPrompts
from harness.spec.receipt import StageReceipt
from harness.spec.variant import ModelVariant


def one_bos(
    prompts: Sequence[ReceivedPrompts],
    scored: Sequence[ScoreRequest],
    tokenizer: PreTrainedTokenizerBase,
    begins: Ids,
) -> StageReceipt:
    """Whether each prompt, and each text whose answers are scored, begins as the model's texts do.

    scored: of zero-shot. begins: with one BOS and no other, or with none before what the template writes.
    """
    if not begins:
        return _no_bos(prompts, scored, tokenizer)
    (bos,) = begins
    every = [ids for part in prompts for ids in part.ids] + [request.token_ids for request in scored]
    counts = {ids: ids.count(bos) for ids in set(every)}
    none = sum(not count for count in counts.values())
    more = sum(count > 1 for count in counts.values())
    elsewhere = sum(count == 1 and ids[0] != bos for ids, count in counts.items())
    words = [
        f"{number} {what}"
        for number, what in (
            (none, "without any"),
            (more, "with two or more"),
            (elsewhere, "with one that is not the first token"),
        )
        if number
    ]
    return StageReceipt(
        stage="prompts",
        name="one-bos",
        holds=not words,
        expected=f"each of {len(counts)} prompts to begin with one {tokenizer.bos_token!r}, the token that begins a "
        "text, and to hold no other",
        seen=", ".join(words) or "that",
        advice="a model that has never seen a text begin otherwise behaves as a damaged one: look at who adds it, the "
        "tokenizer or the template",
        evidence={"prompts": len(counts), "without": none, "two_or_more": more, "elsewhere": elsewhere},
    )


def _no_bos(
    prompts: Sequence[ReceivedPrompts], scored: Sequence[ScoreRequest], tokenizer: PreTrainedTokenizerBase
) -> StageReceipt:
    """Of a model whose texts begin with no BOS. Its template may write the token itself, as SmolLM2's does."""
    bos = tokenizer.bos_token_id
    asked = {ids for part in prompts for ids in part.ids}
    contexts = {request.token_ids for request in scored}
    added = sum(ids[:2] == (bos, bos) for ids in asked) + sum(ids[:1] == (bos,) for ids in contexts)
    return StageReceipt(
        stage="prompts",
        name="one-bos",
        holds=not added,
        expected=f"none of {len(asked) + len(contexts)} prompts to have a BOS before it, which neither the tokenizer "
        "nor the template puts there",
        seen=f"{added} with one" if added else "that",
        advice="a model that has never seen a text begin so behaves as a damaged one: look at who adds BOS",
        evidence={"prompts": len(asked) + len(contexts), "added": added},
    )


def stop_tokens(
    in_force: Sequence[int], configured: frozenset[int], variant: ModelVariant, tokenizer: PreTrainedTokenizerBase
) -> StageReceipt:
    """Whether generation ends where an answer ends. configured: by the files of the checkpoint."""
    turn_end = TURN_ENDS.get(variant.chat_template)
    needed = {int(token) for token in (tokenizer.eos_token_id, *configured) if token is not None}
    if turn_end is not None:
        needed.add(cast(int, tokenizer.convert_tokens_to_ids(turn_end)))
    missing, extra = sorted(needed - set(in_force)), sorted(set(in_force) - needed)
    return StageReceipt(
        stage="prompts",
        name="stop-tokens",
        holds=not missing and not extra,
        expected=f"answers to end at {_tokens(sorted(needed), tokenizer)}, which tokenizer, generation config and chat "
        "template name",
        seen=f"{_tokens(sorted(in_force), tokenizer)} in force",
        advice="without the right one answers never end, with a wrong one they end at once: see eos_token_id in "
        "generation_config.json",
        evidence={"in_force": " ".join(map(str, sorted(in_force))), "needed": " ".join(map(str, sorted(needed)))},
    )


def _tokens(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    return ", ".join(f"{tokenizer.decode([token])!r} ({token})" for token in ids) or "nothing"
