"""Receipts of the requests that an engine was given: each text as the spec declares it, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.engines.base import Request
from harness.spec.receipt import LookedAt, StageReceipt


@dataclass(frozen=True)
class DeclaredRequest:
    """What an engine has to be asked for one text."""

    ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float
    seed: tuple[int, ...]


def every_request(
    declared: Mapping[str, Sequence[DeclaredRequest]], seen: Mapping[str, Sequence[Request]]
) -> StageReceipt:
    """Whether each text was asked for as the spec says: its prompt, limit, temperature and seed, in this order.

    Both by evaluation. A prompt is compared by its tokens; which of its parts is otherwise, other receipts say.
    """
    problems: list[str] = []
    for name, wanted in declared.items():
        asked = [DeclaredRequest(r.prompt_ids, r.max_new_tokens, r.temperature, tuple(r.seed)) for r in seen[name]]
        if len(asked) != len(wanted):
            problems.append(f"in {name} {len(asked)} texts were asked for, {len(wanted)} are declared")
            continue
        for what, of in _PARTS_OF_A_REQUEST.items():
            pairs = [(of(one), of(other)) for one, other in zip(asked, wanted, strict=True) if of(one) != of(other)]
            if pairs:
                shown = "" if what == "prompt" else f", first {pairs[0][0]} for {pairs[0][1]}"
                problems.append(f"in {name} {len(pairs)} of {len(wanted)} have another {what}{shown}")
    total = sum(map(len, declared.values()))
    return StageReceipt(
        stage="prompts",
        name="every-request",
        holds=not problems,
        expected=f"each of {total} texts asked for as the spec declares it: prompt with suffix, token limit, "
        "temperature, seed of its prompt, suffix and sample",
        seen="; ".join(problems[:3]) or "that",
        advice="look at what makes requests of the evaluation's settings, and at what changes them on their way",
        evidence={"texts": total, "problems": len(problems)},
        looked_at=(LookedAt(what="requests", seen=total, of=total),),
    )


_PARTS_OF_A_REQUEST: Mapping[str, Callable[[DeclaredRequest], object]] = {
    "prompt": lambda request: request.ids,
    "limit of tokens": lambda request: request.max_new_tokens,
    "temperature": lambda request: request.temperature,
    "seed": lambda request: request.seed,
}
