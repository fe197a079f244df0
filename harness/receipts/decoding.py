"""Receipts of decoding: each text is what its own prompt gives under the cell's weights, decoded as the spec says.

Some texts, drawn for each cell, are read again by a plain forward pass: greedily, every token has to be the likeliest.
At a temperature the random numbers of the request's seed say which token had to be chosen, and when the text ends.
Besides, it has to be among the likeliest ones, which hold half of the probability or more, about as often as that says,
and samples of one prompt must not be copies.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.engines.base import Generated, Request
from harness.formulas.draws import drawn
from harness.receipts.logits import plain_logits, tolerance
from harness.receipts.observed_engine import Observed
from harness.spec.evaluation import DeclaredTexts
from harness.spec.measurement import Completion
from harness.spec.receipt import LookedAt, StageReceipt

#: Prompts of each evaluation whose texts are read again.
READ_PROMPTS = 4
#: How far a random number may lie from the share that its token holds: the order of sums moves probabilities so much.
OFF_IN_FLOAT32, OFF_IN_16_BIT = 2e-3, 0.1
#: Of sampled tokens in 16 bits so many may lie farther off.
LARGEST_SHARE_SAMPLED_16_BIT = 0.05
#: Of greedy tokens in 16 bits so many may be second best: with a cache sums are rounded in another order. In float32
#: the tolerance of the logits leaves none.
LARGEST_SHARE_16_BIT = 0.02
#: A count that chance gives less often than this is no chance: no alarm in a million evaluations.
SMALLEST_CHANCE = 1e-7


@dataclass
class TextsRead:
    """Counts over texts of one evaluation that were read again. tokens: with a finite likelihood.

    likeliest: tokens that are the likeliest, within rounding, or with sampling among the fewest that hold half of the
    probability. expected, variance: what sampling makes of `likeliest`. log_chance: of prompts whose samples are all
    alike, of that. drawn, off: sampled tokens, the end of the text included, and those that are not the ones which
    the seed's random numbers choose. given: texts that there are.
    """

    evaluation: str
    temperature: float
    texts: int = 0
    tokens: int = 0
    likeliest: int = 0
    expected: float = 0.0
    variance: float = 0.0
    log_chance: float = 0.0
    copied: list[int] = field(default_factory=list)
    drawn: int = 0
    off: int = 0
    given: int = 0

    @property
    def chance(self) -> float:
        """At most so probable is a count of likeliest tokens this far from the expected one (Bernstein)."""
        off = abs(self.likeliest - self.expected)
        return 2 * math.exp(-(off**2) / (2 * (self.variance + off / 3))) if off else 1.0


@torch.inference_mode()
def read_again(
    model: PreTrainedModel, settings: DeclaredTexts, observed: Observed, ends: frozenset[int], cell: str
) -> TextsRead:
    """Texts of READ_PROMPTS prompts of an evaluation, all samples of each, as the engine gave them.

    ends: the tokens that end an answer. cell: what is drawn depends on it.
    """
    read = TextsRead(settings.name, settings.temperature, given=len(observed.generated))
    by_prompt: dict[tuple[int, ...], list[tuple[Request, Generated]]] = defaultdict(list)
    for request, output in observed.generated:
        by_prompt[request.prompt_ids].append((request, output))
    prompts = list(by_prompt)
    for place in drawn(cell, f"texts of {settings.name}", len(prompts), READ_PROMPTS):
        prompt, known = prompts[place], dict[tuple[int, ...], tuple[float, Tensor | None]]()
        for request, output in by_prompt[prompt]:
            text = output.token_ids
            if text and text not in known:
                known[text] = _count(read, model, prompt, text)
            logits = known[text][1] if text else plain_logits(model, prompt)[-1:]
            if request.temperature > 0 and logits is not None and logits.isfinite().all():
                _follow(read, logits, request, output, ends, model.dtype)
        texts = [output.token_ids for _, output in by_prompt[prompt] if output.token_ids]
        if len(texts) > 1 and len(known) == 1:
            read.log_chance -= (len(texts) - 1) * next(iter(known.values()))[0]
            read.copied.append(place)
    return read


def _follow(
    read: TextsRead, logits: Tensor, request: Request, output: Generated, ends: frozenset[int], dtype: torch.dtype
) -> None:
    """Count the tokens of a text that its seed's random numbers do not choose.

    logits: (n + 1, V) before each of its n tokens and behind the last. Token k is chosen by the number u where
    Σ_{j<k} p_j <= u < Σ_{j<=k} p_j.
    """
    allowed = OFF_IN_FLOAT32 if dtype == torch.float32 else OFF_IN_16_BIT
    tokens, stopped = output.token_ids, output.finish_reason == "stop"
    numbers = np.random.default_rng(request.seed).random(request.max_new_tokens)
    steps = len(tokens) + stopped
    above = (logits[:steps] / request.temperature).double().softmax(dim=-1).cumsum(dim=-1)  # (steps, V)
    below = torch.cat([torch.zeros_like(above[:, :1]), above[:, :-1]], dim=1)
    uniform = torch.from_numpy(numbers[:steps])[:, None] * above[:, -1:]
    fits = (below - allowed <= uniform) & (uniform <= above + allowed)
    chosen = [[token] for token in tokens] + [sorted(ends)] * stopped
    read.drawn += steps
    read.off += sum(not bool(fits[step, candidates].any()) for step, candidates in enumerate(chosen))


def _count(
    read: TextsRead, model: PreTrainedModel, prompt: Sequence[int], text: Sequence[int]
) -> tuple[float, Tensor | None]:
    """Add a text to the counts. Returns its negative log-likelihood in nats and the logits (n + 1, V) before each token
    and behind the last; 0 and None where one is no number."""
    around = plain_logits(model, [*prompt, *text])[len(prompt) - 1 :]
    if not around.isfinite().all():  # told by logits/finite
        return 0.0, None
    logits = around[:-1]  # (n, V)
    chosen = torch.tensor(text)[:, None]
    read.texts += 1
    read.tokens += len(text)
    if read.temperature == 0:
        lowest = logits.max(dim=-1, keepdim=True).values - tolerance(logits, model.dtype)
        read.likeliest += int((logits.gather(1, chosen) >= lowest).sum())
        return 0.0, around
    probabilities = (logits / read.temperature).double().softmax(dim=-1)
    falling = probabilities.sort(dim=-1, descending=True).values  # (n, V)
    last = (falling.cumsum(dim=-1) < 0.5).sum(dim=-1, keepdim=True)
    held = falling.cumsum(dim=-1).gather(1, last)  # (n, 1): by the fewest that hold half
    read.likeliest += int((probabilities.gather(1, chosen) >= falling.gather(1, last)).sum())
    read.expected += float(held.sum())
    read.variance += float((held * (1 - held)).sum())
    return -float(probabilities.gather(1, chosen).log().sum().clamp(min=-1e9)), around


def own_prompts(parts: Sequence[TextsRead], dtype: torch.dtype) -> StageReceipt:
    """Whether texts continue their own prompts as the decoding of the spec has it."""
    problems = [words for part in parts for words in _problems(part, dtype)]
    texts = sum(part.texts for part in parts)
    return StageReceipt(
        stage="text",
        name="own-prompt",
        holds=not problems,
        expected=f"each of {texts} texts to be what its own prompt gives, "
        + ", ".join(f"{part.evaluation} {_decoding(part)}" for part in parts),
        seen="; ".join(problems) or "that",
        advice="texts of other prompts, of other weights or of another temperature: look at how the engine hands texts "
        "back (order, batch) and at the temperature and seed that it is given",
        evidence={
            "texts": texts,
            **{f"{part.evaluation}_likeliest": f"{part.likeliest} of {part.tokens}" for part in parts},
            **{
                f"{part.evaluation}_by_the_seed": f"{part.drawn - part.off} of {part.drawn}"
                for part in parts
                if part.drawn
            },
        },
        looked_at=(LookedAt(what="texts", seen=texts, of=sum(part.given for part in parts)),),
    )


def _decoding(part: TextsRead) -> str:
    return "greedily" if part.temperature == 0 else f"at temperature {part.temperature:g}"


def _problems(part: TextsRead, dtype: torch.dtype) -> list[str]:
    off = part.tokens - part.likeliest
    if part.temperature == 0:
        allowed = 0.0 if dtype == torch.float32 else LARGEST_SHARE_16_BIT * part.tokens
        return [f"in {part.evaluation} {off} of {part.tokens} tokens that are not the likeliest"] * (off > allowed)
    found = []
    if part.off > (0 if dtype == torch.float32 else LARGEST_SHARE_SAMPLED_16_BIT * part.drawn):
        found.append(
            f"in {part.evaluation} {part.off} of {part.drawn} tokens that the seed's random numbers do not choose at "
            f"temperature {part.temperature:g}"
        )
    if part.chance < SMALLEST_CHANCE:
        found.append(
            f"in {part.evaluation} one of the likeliest tokens {part.likeliest} times in {part.tokens}, where "
            f"temperature {part.temperature:g} gives about {part.expected:.0f}"
        )
    if part.log_chance < math.log(SMALLEST_CHANCE):
        found.append(f"in {part.evaluation} the samples of {len(part.copied)} prompts are copies of each other")
    return found


def as_generated(completions: Sequence[Completion], observed: dict[str, Observed]) -> StageReceipt:
    """Whether the completions of each evaluation are what the engine gave it, in that order."""
    problems = []
    for name, seen in observed.items():
        own = [completion for completion in completions if completion.evaluation == name]
        given = [(output.token_ids, output.finish_reason) for _, output in seen.generated]
        kept = [(completion.token_ids, completion.finish_reason) for completion in own]
        if len(given) != len(kept):
            problems.append(f"{len(kept)} texts of {name} where the engine gave {len(given)}")
        elif given != kept:
            other = sum(one != two for one, two in zip(given, kept, strict=True))
            problems.append(f"{other} of {len(given)} texts of {name} that the engine gave otherwise")
    return StageReceipt(
        stage="text",
        name="as-generated",
        holds=not problems,
        expected="the texts of every evaluation to be those that the engine gave it, in order",
        seen="; ".join(problems) or "them",
        advice="look at how answers are put together with prompts, samples and evaluations",
        evidence={"texts": sum(len(seen.generated) for seen in observed.values())},
    )
