"""Receipts of the scores: those in use are those of the data and the method that the spec names, with the right sign.

They are compared, in one block, with scores by the plain definition on the intact model. Where they differ, known
mistakes are tried, and the one that fits is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.spec.receipt import LookedAt, StageReceipt

#: Largest Σ|in use − plain| / Σ|plain| of a layer. In float32 both are sums of some thousand products, each off by
#: 6e-8 of itself at random: 8e-8 was measured on the organisms, and 2e-5 with another kernel for the loss. A sum in
#: bfloat16 is off by 2e-3 or more.
LARGEST_DEPARTURE = 1e-4
#: The same where the model itself computes in 16 bits: every activation is off by up to 4e-3, in another way in
#: every batch.
LARGEST_DEPARTURE_16_BIT = 0.05
#: Smallest rank correlation of a layer's scores; over 4,096 weights even errors of 1% leave it above 0.999.
SMALLEST_RANK_CORRELATION = 0.999
#: A float32 number lies this close to a bfloat16 number, relatively, once in a hundred times by chance.
_ON_THE_GRID = 2e-5
_RANKED = 4096
#: Most of Σ|plain| that may lie where scores in use have another sign; all of it does where the sign is flipped, and
#: about half where an absolute value was taken.
MOST_OF_OTHER_SIGN = 0.05
#: What a sum of scores is at least, so that no weights at all are no division by 0.
_TINY = 1e-300
#: The departure of what cannot be compared. A record's numbers are finite.
ANOTHER = 1e9
_IN_BFLOAT16 = "they were summed or kept in bfloat16, which has 8 bits"
#: About so many rows of a layer, evenly spread, in which the places of selected weights are looked up.
RANKED_ROWS = 64

#: {layer name: scores or Gram}.
Measured = Mapping[str, Tensor]


@dataclass(frozen=True)
class ScoresInUse:
    """Scores, or Grams, that a region was selected from, beside those by the plain definition, of one block.

    role: what the spec calls them: data, safety or utility. described: method and data in words. mistakes: known
    mistakes in words, each with what it would give. magnitudes: |W| by layer, of scores that are |W| times something
    summed over `samples`.
    where: the block, in words.
    """

    role: str
    described: str
    in_use: Measured
    plain: Measured
    mistakes: Mapping[str, Callable[[], Measured | None]]
    magnitudes: Measured | None = None
    samples: int = 1
    where: str = "the block"


@dataclass(frozen=True)
class SubsampledScores:
    """Rank correlation of a layer's scores in use with those of a few samples; 0 where they are all equal."""

    layer: str
    role: str
    correlation: float


def of_a_subsample(layer: str, role: str, in_use: Tensor, few: Tensor) -> SubsampledScores:
    """Both: scores of the same rows."""
    constant = in_use.shape != few.shape or bool((in_use == in_use.flatten()[0]).all())
    return SubsampledScores(layer, role, 0.0 if constant else _rank_correlation(in_use, few))


def as_defined(
    scores: Sequence[ScoresInUse], where: str, sixteen_bit: bool, looked_at: tuple[LookedAt, ...] = ()
) -> StageReceipt:
    """Whether the scores in use are those by the plain definition. where: the blocks, in words."""
    limit = LARGEST_DEPARTURE_16_BIT if sixteen_bit else LARGEST_DEPARTURE
    problems: list[str] = []
    evidence: dict[str, float] = {}
    for part in scores:
        off, correlation = departure(part.in_use, part.plain), 0.0
        if off < ANOTHER:
            correlation = min(_rank_correlation(part.in_use[name], part.plain[name]) for name in part.plain)
        evidence[f"{part.role}_departure"] = max(off, evidence.get(f"{part.role}_departure", 0.0))
        correlations = f"{part.role}_rank_correlation"
        evidence[correlations] = min(correlation, evidence.get(correlations, 1.0))
        in_bfloat16 = off < ANOTHER and on_bfloat16_grid(part)
        if in_bfloat16 or off > limit or correlation < SMALLEST_RANK_CORRELATION:
            cause = _cause(part, limit) if off > limit else None
            if cause is None:
                cause = _IN_BFLOAT16 if in_bfloat16 else "no known mistake explains it"
            problems.append(
                f"those in use as {part.role} ({part.described}) in {part.where} differ by {off:.2g} on average, rank "
                f"correlation {correlation:.2f}: {cause}"
            )
    return StageReceipt(
        stage="scores",
        name="plain-definition",
        holds=not problems,
        expected=f"the importance of {where} to be that by the plain definition, "
        + " and ".join(dict.fromkeys(part.described for part in scores)),
        seen="; ".join(problems[:3])
        or f"the same, within {max(v for k, v in evidence.items() if 'departure' in k):.1g}",
        advice="a region that was selected by other scores is another region: look at where scores are computed, "
        "stored and looked up",
        evidence=dict(evidence),
        looked_at=looked_at,
    )


def departure(in_use: Measured, plain: Measured) -> float:
    """The largest of the layers' Σ|in use − plain| / Σ|plain|; ANOTHER where one is missing, another or NaN."""
    worst = 0.0
    for name, wanted in plain.items():
        if name not in in_use or in_use[name].shape != wanted.shape:
            return ANOTHER
        off = float((in_use[name].double() - wanted).abs().sum() / wanted.abs().sum().clamp(min=_TINY))
        worst = max(worst, off if math.isfinite(off) else ANOTHER)
    return min(worst, ANOTHER)


def _rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's, over weights evenly spread over the layer."""
    step = max(1, one.numel() // _RANKED)
    ranks = torch.stack([part.flatten()[::step].argsort().argsort().double() for part in (one, other)])
    return float(torch.corrcoef(ranks)[0, 1].nan_to_num())


def on_bfloat16_grid(part: ScoresInUse) -> bool:
    """Whether the sums behind scores, score / |W| or that times the number of samples, are bfloat16 numbers, mostly."""
    if part.magnitudes is None:
        return False
    scores = torch.cat([part.in_use[name].flatten()[:_RANKED].double().abs().cpu() for name in part.magnitudes])
    sizes = torch.cat([magnitude.flatten()[:_RANKED].double().cpu() for magnitude in part.magnitudes.values()])
    kept = (sizes > 0) & (scores > 0)
    means = scores[kept] / sizes[kept]
    return any(_share_on_grid(numbers) > 0.5 for numbers in (scores[kept], means, means * part.samples))


def _share_on_grid(numbers: Tensor) -> float:
    if not len(numbers):
        return 0.0
    off = (numbers - numbers.to(torch.bfloat16).double()).abs() / numbers.abs()
    return float((off <= _ON_THE_GRID).double().mean())


def _cause(part: ScoresInUse, limit: float) -> str | None:
    for words, measured in part.mistakes.items():
        candidate = measured()
        if candidate is not None and departure(part.in_use, candidate) <= limit:
            return words
    return None


def of_every_block(
    blocks: Sequence[Sequence[SubsampledScores]], least_correlation: float, looked_at: tuple[LookedAt, ...] = ()
) -> StageReceipt:
    """Whether scores of every layer rank weights much as scores of a few samples do.

    blocks: of each, what is seen of its layers, by role. least_correlation: that the method's scores have.
    It tells scores of another layer, of no layer, or turned round, from those of the layer; not scores of other
    samples.
    """
    seen = [each for block in blocks for each in block]
    off = [each for each in seen if not each.correlation >= least_correlation]
    worst = min((each.correlation for each in seen), default=1.0)
    first = next((f"block {i} of {len(blocks)}, " for i, block in enumerate(blocks, 1) if off and off[0] in block), "")
    return StageReceipt(
        stage="scores",
        name="every-block",
        holds=not off,
        expected=f"the scores of all {len(seen)} layers to rank weights as a few samples alone do",
        seen=f"in {len(off)} layers they do not, first {first}{off[0].layer} (as {off[0].role}): rank correlation "
        f"{off[0].correlation:.2f}"
        if off
        else f"rank correlations of {worst:.2f} and more",
        advice="a block was not scored, or scored as another one: look at how scores are kept by layer",
        evidence={"layers": len(seen), "off": len(off), "smallest_rank_correlation": worst},
        looked_at=looked_at,
    )


def not_one_shot(scores: Sequence[ScoresInUse], where: str) -> StageReceipt:
    """Whether a block behind edited ones was scored anew: its scores are not those of the intact model.

    plain: of the intact model. Two scores of different models that agree to LARGEST_DEPARTURE would be a wonder.
    """
    nearest = min(departure(part.in_use, part.plain) for part in scores)
    return StageReceipt(
        stage="scores",
        name="block-by-block",
        holds=nearest > LARGEST_DEPARTURE,
        expected=f"{where} to be scored behind the blocks that were edited before it",
        seen=f"scores that differ by {nearest:.2g} from those of the intact model",
        advice="the spec asks for schedule block_by_block; scores of the intact model are those of one_shot",
        evidence={"departure_from_intact": nearest},
    )


def not_negative(scores: Mapping[str, Measured]) -> StageReceipt:
    """Whether importance, an absolute value, is nowhere below 0. scores: in use, by role, all layers."""
    below = {role: sum(int((score < 0).sum()) for score in by_layer.values()) for role, by_layer in scores.items()}
    words = [f"{count} negative ones among those in use as {role}" for role, count in below.items() if count]
    return StageReceipt(
        stage="scores",
        name="sign",
        holds=not words,
        expected="importance scores of 0 and above, larger for what matters more",
        seen="; ".join(words) or "no other",
        advice="the sign was flipped somewhere (the published code does so under --neg_prune): the largest would then "
        "be what matters least",
        evidence={f"{role}_negative": count for role, count in below.items()},
    )


def signs_as_defined(scores: Sequence[ScoresInUse]) -> StageReceipt | None:
    """Whether scores that may be negative are so where the plain definition has them so; None without a definition.

    Signs of scores near 0 may differ by rounding: what counts is Σ|plain| where they differ, over Σ|plain|.
    """
    if not scores:
        return None
    problems: list[str] = []
    evidence: dict[str, float | int | str] = {}
    for part in scores:
        plain = torch.cat([part.plain[name].flatten().double() for name in part.plain])
        in_use = torch.cat([part.in_use[name].flatten().double().cpu() for name in part.plain if name in part.in_use])
        below, wanted = int((in_use < 0).sum()), int((plain < 0).sum())
        off = 1.0
        if in_use.shape == plain.shape:
            off = float(plain.abs()[in_use.sign() != plain.sign()].sum() / plain.abs().sum().clamp(min=_TINY))
        evidence |= {f"{part.role}_negative": below, f"{part.role}_negative_by_definition": wanted}
        evidence[f"{part.role}_of_other_sign"] = off
        if off > MOST_OF_OTHER_SIGN:
            cause = "an absolute value was taken" if wanted and not below else "the sign was flipped"
            problems.append(f"{below} negative ones among those in use as {part.role}: {cause}")
    return StageReceipt(
        stage="scores",
        name="sign",
        holds=not problems,
        expected="scores on either side of 0, "
        + " and ".join(f"{evidence[f'{part.role}_negative_by_definition']} below it as {part.role}" for part in scores),
        seen="; ".join(problems) or "the same signs",
        advice="the sign of such a score says what the weight does: without it, or flipped, other weights are selected",
        evidence=evidence,
    )


def ranked_as_asked(
    masks: Mapping[str, Tensor], parts: Mapping[str, Measured], by_row: bool, smallest: bool
) -> StageReceipt | None:
    """Whether the selected weights stand where the spec wants them, by plain scores of the layers of a block.

    masks: (d_out, d_in) bool. parts: plain scores by role. A weight's place is its rank among its row or its matrix,
    from 0 for the least to 1, seen among RANKED_ROWS rows. m weights of a set difference have, from the top, at worst
    the ranks k + 1 to k + m on safety data, k being the weights that the top p of utility took out, and at best the
    same ranks on utility data: on average they stand at least as high on safety data, in any part of a group. A top
    stands above the middle, a bottom below. None where no weight is selected there.
    """
    found = {role: _mean_place(masks, scores, by_row) for role, scores in parts.items()}
    places = {role: place for role, place in found.items() if place is not None}
    if len(places) < len(found):
        return None
    if set(parts) == {"safety", "utility"}:
        holds, wanted = places["safety"] >= places["utility"], "at least as high on safety as on utility data"
    else:
        (place,) = places.values()
        holds = place < 0.5 if smallest else place > 0.5
        wanted = "below the middle" if smallest else "above the middle"
    return StageReceipt(
        stage="scores",
        name="selected-region",
        holds=holds,
        expected=f"the selected weights to stand {wanted}, by importance",
        seen=" and ".join(f"{place:.3f} on {'its' if role == 'data' else role} data" for role, place in places.items())
        + " (0 is the least important weight, 1 the most)",
        advice="scores of two data sets were swapped, or their sign was flipped, before the region was selected",
        evidence={f"{role}_place": place for role, place in places.items()},
    )


def _mean_place(masks: Mapping[str, Tensor], scores: Measured, by_row: bool) -> float | None:
    total, count = 0.0, 0
    for name, score in scores.items():
        mask = masks.get(name)
        if mask is None or mask.shape != score.shape:
            return None
        step = max(1, len(score) // RANKED_ROWS)
        score, mask = score[::step], mask[::step].cpu()
        groups, chosen = (score, mask) if by_row else (score.reshape(1, -1), mask.reshape(1, -1))
        places = groups.argsort(dim=1, stable=True).argsort(dim=1).double() / max(1, groups.shape[1] - 1)
        total, count = total + float(places[chosen].sum()), count + int(chosen.sum())
    return total / count if count else None
