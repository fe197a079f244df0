"""Receipts of the prompts: of the token ids that reached the model, not of the text that was to become them.

Every prompt is made a second time from its request, with a tokenizer that was read anew and a template that was
written down anew (plain_prompts.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from harness.engines.base import Request
from harness.models.golden_prompts import golden_prompt_differences
from harness.models.own_template import template_sha256
from harness.receipts.plain_prompts import Frame, as_texts
from harness.spec.golden_prompts import GoldenPrompts
from harness.spec.receipt import StageReceipt
from harness.spec.variant import OWN_TEMPLATE, ModelVariant

Ids = tuple[int, ...]
_Problems = list[str]
#: Characters of a prompt's beginning that the record shows.
_SHOWN = 300


@dataclass(frozen=True)
class AskedPrompts:
    """What one evaluation has to ask. requests: with their suffixes, as they stand in the prompts.

    opening: what every prompt begins with, (BOS,) or nothing.
    """

    evaluation: str
    frame: Frame
    requests: tuple[str, ...]
    system_prompt: str
    wants_system_prompt: bool
    opening: Ids


@dataclass(frozen=True)
class ReceivedPrompts:
    """What reached the model. ids: of each prompt of a generation, once. altered: rows that nobody asked for."""

    asked: AskedPrompts
    ids: tuple[Ids, ...]
    altered: int


def received(
    asked: AskedPrompts, requests: Sequence[Request], seen: Sequence[Ids], pad_id: int | None
) -> ReceivedPrompts:
    """The distinct prompts of one evaluation as they reached the model, or as the engine was asked where that is all
    that can be seen.

    seen: rows with padding on their left, which is a run of one id.
    """
    wanted = {request.prompt_ids for request in requests}
    lengths = sorted({len(ids) for ids in wanted}, reverse=True)
    found: dict[Ids, None] = {}
    altered = 0
    for row in seen:
        ends = [row[-n:] for n in lengths if n <= len(row) and row[-n:] in wanted]
        match = next((end for end in ends if _is_padding(row[: -len(end)], end[0], pad_id)), None)
        altered += match is None
        found[match if match is not None else _unpadded(row)] = None
    return ReceivedPrompts(
        asked, tuple(found) if seen else tuple(dict.fromkeys(r.prompt_ids for r in requests)), altered
    )


def _is_padding(before: Ids, first: int, pad_id: int | None) -> bool:
    """Nothing, or one id again and again; the prompt's own first id only where that is what pads."""
    return not before or (len(set(before)) == 1 and (before[0] != first or before[0] == pad_id))


def _unpadded(row: Ids) -> Ids:
    """A row that is none of the prompts asked for, without the run of two or more equal ids it may begin with."""
    run = next((place for place, token in enumerate(row) if token != row[0]), len(row))
    return row[run:] if run > 2 else row


def framed(
    prompts: Sequence[ReceivedPrompts],
    variant: ModelVariant,
    tokenizer: PreTrainedTokenizerBase,
    golden: GoldenPrompts | None,
) -> StageReceipt:
    """Whether prompts begin and end as the variant's chat template has it, and the template is the golden one."""
    problems: _Problems = []
    found = template_sha256(tokenizer, variant.chat_template)
    if golden is not None and golden.template_sha256 != found:
        problems.append(f"a template whose SHA-256 is not that of the model's golden prompts ({found[:12]}...)")
    for part in prompts:
        frame = part.asked.frame
        wrong = [
            text
            for text in _texts(part, tokenizer)
            if not (text.startswith(frame.before.lstrip()) and text.endswith(frame.after))
        ]
        if wrong:
            problems.append(
                f"{len(wrong)} of {len(part.ids)} of {part.asked.evaluation} otherwise, such as one that "
                f"begins {wrong[0][:24]!r} and ends {wrong[0][-24:]!r}"
            )
    ends = sorted({part.asked.frame.after for part in prompts})
    return StageReceipt(
        stage="prompts",
        name="template",
        holds=not problems,
        expected=f"prompts in the chat template {variant.chat_template!r}, ending in "
        + " or ".join(repr(end[-24:]) for end in ends),
        seen="; ".join(problems) or "that",
        advice="the template is another family's, or it was not applied: set chat_template in the model's file",
        evidence={"template_sha256": found},
    )


def system_prompt_where_asked(
    prompts: Sequence[ReceivedPrompts], variant: ModelVariant, tokenizer: PreTrainedTokenizerBase
) -> StageReceipt:
    """Whether the system prompt's words are in the tokens exactly where the evaluation says so.

    Where it is left out, a tokenizer's own template may put in a default, also this very one: the evidence says
    how such prompts begin.
    """
    problems: _Problems = []
    own: dict[str, None] = {}
    for part in prompts:
        if variant.chat_template == OWN_TEMPLATE and not part.asked.wants_system_prompt:
            own[part.asked.frame.before] = None
        holding = sum(part.asked.system_prompt in text for text in _texts(part, tokenizer))
        asked = part.asked.wants_system_prompt or part.asked.system_prompt in part.asked.frame.before
        wanted = len(part.ids) if asked else 0
        if holding != wanted:
            problems.append(f"in {part.asked.evaluation} it is in {holding} of {len(part.ids)}, expected {wanted}")
    asking = [part.asked.evaluation for part in prompts if part.asked.wants_system_prompt]
    return StageReceipt(
        stage="prompts",
        name="system-prompt",
        holds=not problems,
        expected=f"the system prompt in the prompts of {', '.join(asking) or 'no evaluation'} and in no other",
        seen="; ".join(problems) or "that",
        advice="with and without it are two different attacks; look at who hands system_prompt to the template",
        evidence={
            "evaluations_with": len(asking),
            **({"begins_without": " | ".join(own)[:_SHOWN]} if own else {}),
        },
    )


def requests_in_the_prompts(prompts: Sequence[ReceivedPrompts], tokenizer: PreTrainedTokenizerBase) -> StageReceipt:
    """Whether each request of the file with its suffix, and nothing besides, can be read back from the tokens."""
    problems: _Problems = []
    for part in prompts:
        held = _held(part, tokenizer)
        lost, other = len(set(part.asked.requests) - {request for request, _ in held}), [r for r, _ in held].count(None)
        if lost or other or part.altered:
            problems.append(
                f"in {part.asked.evaluation} {lost} of {len(part.asked.requests)} requests cannot be read "
                f"back, {other} prompts hold something else, and {part.altered} reached the model "
                "otherwise than they were asked for"
            )
        more = [words for request, words in held if request is not None and words]
        if more:
            problems.append(
                f"in {part.asked.evaluation} {len(more)} of {len(part.ids)} prompts hold more than a request with its "
                f"suffix, once, first {more[0]!r}"
            )
    return StageReceipt(
        stage="prompts",
        name="requests",
        holds=not problems,
        expected=f"each of {sum(len(part.asked.requests) for part in prompts)} requests of the evaluation files to be "
        "read back from the tokens of a prompt",
        seen="; ".join(problems) or "that",
        advice="the model was asked something else than the evaluation says: look at what puts request, suffix and "
        "template together",
        evidence={"requests": sum(len(part.asked.requests) for part in prompts)},
    )


def _held(part: ReceivedPrompts, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str | None, str]]:
    """Of each prompt, the longest request that it holds, and what it holds besides where a request has to stand.

    Most prompts are a request in the frame, exactly. In another frame, which another receipt tells, nothing is besides.
    """
    frame = part.asked.frame
    whole = {frame.around(request).lstrip(): request for request in part.asked.requests}
    by_length = sorted(part.asked.requests, key=len, reverse=True)
    found: list[tuple[str | None, str]] = []
    for text in _texts(part, tokenizer):
        request = whole.get(text)
        if request is not None:
            found.append((request, ""))
            continue
        request = next((each for each in by_length if each in text), None)
        before, after = frame.before.lstrip(), frame.after
        framed = text.startswith(before) and text.endswith(after)
        inner = text[len(before) : len(text) - len(after)] if framed else ""
        found.append((request, inner.replace(request, "", 1).strip() if request is not None else ""))
    return found


def same_tokenizer(
    prompts: Sequence[ReceivedPrompts],
    own_ids: Sequence[frozenset[Ids]],
    variant: ModelVariant,
    tokenizer: PreTrainedTokenizerBase,
    in_use: PreTrainedTokenizerBase,
    golden: GoldenPrompts | None,
) -> StageReceipt:
    """Whether the ids are those of the model's own tokenizer. tokenizer: read anew from the model's files.

    own_ids: for each of the prompts, the ids that it gives for the requests.
    """
    problems: _Problems = []
    differing = sum(_tokenised_otherwise(part, own, tokenizer) for part, own in zip(prompts, own_ids, strict=True))
    if differing:
        problems.append(f"other ids in {differing} of {sum(len(part.ids) for part in prompts)} prompts")
    if _content(in_use) != _content(tokenizer):
        problems.append("a tokenizer in use whose entries or merges are not those of the model's files")
    off = list(golden_prompt_differences(golden, variant, in_use)) if golden else []
    if off:
        problems.append(f"{len(off)} differences from the model's golden prompts, first: {off[0]}")
    return StageReceipt(
        stage="prompts",
        name="tokenizer",
        holds=not problems,
        expected="the ids that the model's own tokenizer, read anew from its files, gives for every prompt",
        seen="; ".join(problems) or f"those{'' if golden else '; the model has no golden prompts'}",
        advice="the tokenizer in use is another model's, or another revision's: the model reads other words than the "
        "requests hold",
        evidence={"prompts_otherwise": differing, "golden_differences": len(off)},
    )


def _tokenised_otherwise(part: ReceivedPrompts, own: frozenset[Ids], tokenizer: PreTrainedTokenizerBase) -> int:
    """Prompts whose ids are none of `own`, and which hold nothing but a request: a longer text has other ids anyway."""
    held = _held(part, tokenizer)
    return sum(ids not in own and not more for ids, (_, more) in zip(part.ids, held, strict=True))


def own_ids(asked: AskedPrompts, tokenizer: PreTrainedTokenizerBase) -> frozenset[Ids]:
    """The ids of every prompt of an evaluation."""
    texts = [asked.frame.around(request) for request in asked.requests]
    return frozenset((*asked.opening, *tokenizer.encode(text, add_special_tokens=False)) for text in texts)


def _content(tokenizer: PreTrainedTokenizerBase) -> object:
    """What decides a fast tokenizer's ids; of another kind its entries."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer.get_vocab()
    settings_of_calls = ("truncation", "padding")
    return {key: value for key, value in json.loads(backend.to_str()).items() if key not in settings_of_calls}


def _texts(part: ReceivedPrompts, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The prompts as text, without what they begin with."""
    return as_texts(part.ids, tokenizer, part.asked.opening)
