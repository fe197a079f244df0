"""Receipts of the logits: the engine's against a plain forward pass of transformers: no batch, padding or cache."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.engines.base import ScoredTokens, ScoreRequest
from harness.receipts.observed_engine import Observed
from harness.spec.receipt import LookedAt, StageReceipt

#: Tokens whose log-probabilities are compared: engines give the likeliest only.
COMPARED_TOKENS = 20
#: Batches, padding and caches change the order of sums and nothing else. In float32 that moved no log-probability of
#: the organisms by more than 1e-4, destroyed ones included; stale or foreign weights move some by 0.1 or more.
SMALLEST_TOLERANCE = 1e-3
#: In 16 bits a logit is itself rounded by half an eps of its size, and so is every sum before it. In bfloat16 the
#: organisms deviate by up to 0.7 eps of the largest logit; models that are deeper add up more of it.
TOLERANCE_IN_EPS = 4


@dataclass(frozen=True)
class Deviation:
    """largest: difference of log-probabilities in nats, infinite where one of them is no number."""

    largest: float
    tolerance: float

    @property
    def within_rounding(self) -> bool:
        """Whether the order of sums explains it."""
        return self.largest <= self.tolerance


@torch.inference_mode()
def plain_logits(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """Logits (T, V) in float32 on the CPU: one sequence, no padding, no cache."""
    return model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False).logits[0].float().cpu()


def plain_negative_log_likelihood(model: PreTrainedModel, ids: Sequence[int]) -> tuple[float, float]:
    """Mean negative log-likelihood of all tokens of a text but the first, and how far rounding may move it, in nats."""
    logits = plain_logits(model, ids[:-1])
    chosen = logits.log_softmax(dim=-1).gather(1, torch.tensor(ids[1:])[:, None])
    return -float(chosen.double().mean()), tolerance(logits, model.dtype)


def tolerance(logits: Tensor, dtype: torch.dtype) -> float:
    """Nats by which rounding may move a log-probability of these logits."""
    largest = float(logits.abs().max())
    return max(SMALLEST_TOLERANCE, TOLERANCE_IN_EPS * torch.finfo(dtype).eps * largest)


def first_token_deviation(model: PreTrainedModel, prompt: Sequence[int], from_engine: Mapping[int, float]) -> Deviation:
    """How far the engine's log-probabilities of a first token lie from the model's own."""
    logits = plain_logits(model, prompt)[-1]
    plain = logits.log_softmax(dim=-1)
    differences = [abs(float(plain[token]) - value) for token, value in from_engine.items()]
    return Deviation(_largest(differences), tolerance(logits, model.dtype))


def scored_deviation(model: PreTrainedModel, request: ScoreRequest, scored: ScoredTokens) -> Deviation:
    """How far the engine's log-probabilities of given tokens lie from the model's own."""
    logits = plain_logits(model, request.token_ids[:-1])
    targets = torch.tensor(request.token_ids[1:])
    plain = logits.log_softmax(dim=-1).gather(1, targets[:, None])[request.start - 1 :, 0]
    differences = [abs(a - b) for a, b in zip(plain.tolist(), scored.log_probabilities, strict=True)]
    return Deviation(_largest(differences), tolerance(logits, model.dtype))


def _largest(differences: Sequence[float]) -> float:
    """The largest difference; infinite where there is none, or where one is no number."""
    if not differences or any(math.isnan(each) for each in differences):
        return math.inf
    return max(differences)


def as_plain_forward(
    first_tokens: Sequence[Deviation], scored: Sequence[Deviation], looked_at: tuple[LookedAt, ...] = ()
) -> StageReceipt:
    """Whether the engine computes what transformers computes, for some prompts and some texts of the cell."""
    deviations = [*first_tokens, *scored]
    off = [deviation for deviation in deviations if not deviation.within_rounding]
    worst = max((deviation.largest for deviation in deviations), default=0.0)
    widest = max((deviation.tolerance for deviation in deviations), default=0.0)
    return StageReceipt(
        stage="logits",
        name="plain-forward",
        holds=not off,
        expected=f"the engine's log-probabilities to be those of a plain forward pass (within {widest:.3g} nats)",
        seen=f"{len(off)} of {len(deviations)} prompts and texts off, by up to {worst:.3g} nats" if off else "them",
        advice="look at what the engine does besides: the weights that it holds, its cache, its padding, its dtype",
        evidence={
            "compared": len(deviations),
            "tolerance_nats": widest,
            "largest_deviation_nats": worst if math.isfinite(worst) else "not finite",
        },
        looked_at=looked_at,
    )


def finite(observed: Sequence[Observed], dtype: torch.dtype) -> StageReceipt:
    """Whether every logit behind texts and likelihoods was a finite number."""
    texts = sum(not output.finite for each in observed for _, output in each.generated)
    likelihoods = sum(
        not all(map(math.isfinite, scored.log_probabilities)) for each in observed for _, scored in each.scored
    )
    return finite_outputs(texts, likelihoods, sum(len(each.generated) + len(each.scored) for each in observed), dtype)


def finite_outputs(texts: int, likelihoods: int, outputs: int, dtype: torch.dtype) -> StageReceipt:
    """texts, likelihoods: of all outputs, those with a logit or log-probability that is no finite number."""
    name = str(dtype).removeprefix("torch.")
    return StageReceipt(
        stage="logits",
        name="finite",
        holds=texts == likelihoods == 0,
        expected="finite logits behind every text and every likelihood",
        seen=f"numbers that are not finite behind {texts} texts and {likelihoods} likelihoods"
        if texts or likelihoods
        else "them",
        advice=f"a number overflows: float16 holds none above 65504; the weights are {name}, so look for what computes "
        "in float16, or load the model in bfloat16 or float32",
        evidence={"outputs": outputs, "texts": texts, "likelihoods": likelihoods, "dtype": name},
    )
