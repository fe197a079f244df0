"""Receipts of overlaps: the weights that two regions share, counted a second time in numpy, and scored anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.spec.measurement import Measurement
from harness.spec.receipt import LookedAt, StageReceipt

#: Of the weights of a region that plain scores select, the share that may be others: those that nearly tie, of which
#: gradients in 16 bits leave more.
MOST_OTHERS, MOST_OTHERS_IN_16_BITS = 0.02, 0.05
_SHOWN = 2

Masks = Mapping[str, Tensor]


@dataclass(frozen=True)
class Compared:
    """Two regions whose overlap is a figure. metric: what its figures begin with. measures: which there are of it."""

    metric: str
    measures: Sequence[str]
    first: Masks
    second: Masks


def counted(compared: Sequence[Compared], measurements: Sequence[Measurement]) -> StageReceipt:
    """Whether every figure of an overlap is what the two masks of its layer give, and is of as many weights."""
    told = {measured.metric: measured for measured in measurements}
    problems: list[str] = []
    layers = 0
    for pair in compared:
        names = dict.fromkeys([*pair.first, *pair.second])
        whole = np.zeros(3, dtype=np.int64)
        for layer in names:
            own = np.array(_counts(pair.first.get(layer), pair.second.get(layer)))
            whole += own
            problems += _otherwise(pair, f"/{layer}", own, told)
        problems += _otherwise(pair, "", whole, told)
        layers += len(names)
    return StageReceipt(
        stage="scorer",
        name="overlap-counts",
        holds=not problems,
        expected=f"figures of the weights that two regions share in {layers} layers, as their masks have them",
        seen="; ".join(problems[:_SHOWN]) or "them",
        advice="other masks were compared than those of the regions, or they were counted or divided otherwise",
        evidence={"layers": layers, "otherwise": len(problems)},
        looked_at=(LookedAt(what="layers", seen=layers, of=layers),),
    )


def _counts(first: Tensor | None, second: Tensor | None) -> tuple[int, int, int]:
    """|first|, |second| and |first ∩ second|, of places in the flattened matrices."""
    own, other = (np.flatnonzero(np.empty(0) if mask is None else mask.cpu().numpy()) for mask in (first, second))
    return len(own), len(other), len(np.intersect1d(own, other, assume_unique=True))


def _otherwise(pair: Compared, where: str, counts: np.ndarray, told: Mapping[str, Measurement]) -> list[str]:
    first, second, both = (int(count) for count in counts)
    found = []
    for measure in pair.measures:
        n = first + second - both if measure == "jaccard" else first
        measured = told.get(f"{pair.metric}_{measure}{where}")
        value, count = (None, 0) if measured is None else (measured.value, measured.n)
        if (value, count) != ((both / n, n) if n else (None, 0)):
            found.append(f"{pair.metric}_{measure}{where} {value} of {count} where masks give {both} of {n} weights")
    return found


def kept_bits(
    metric: str, before: Mapping[str, Tensor], now: Mapping[str, Tensor], measurements: Sequence[Measurement]
) -> StageReceipt:
    """Whether the share of a region's weights that kept every bit is what their bytes give, compared once more.

    before, now: (n,) the region's weights by layer, on the CPU.
    """
    total = sum(len(values) for values in before.values())
    same = sum(int((_bits(values) == _bits(now[layer])).all(axis=1).sum()) for layer, values in before.items())
    told = next((measured for measured in measurements if measured.metric == metric), None)
    value, n = (None, 0) if told is None else (told.value, told.n)
    expected = (same / total if total else None, total)
    return StageReceipt(
        stage="scorer",
        name="kept-bits",
        holds=(value, n) == expected,
        expected=f"{same} of {total} weights of the region with every bit as before",
        seen="them" if (value, n) == expected else f"{value} of {n}",
        advice="weights were compared by another measure, or those of another region",
        evidence={"weights": total, "same": same},
    )


def _bits(values: Tensor) -> np.ndarray:
    return values.contiguous().view(torch.uint8).numpy().reshape(len(values), -1)


def scored_anew(after: Masks, plain: Masks, before: Masks, blocks: LookedAt, sixteen_bit: bool) -> StageReceipt:
    """Whether a region that was found anew is that of the model as it is, by plain scores of some blocks.

    after: as it was found. plain: of the layers of these blocks, by the plain definition. before: of the intact model.
    """
    others = sum(int((mask & ~after[layer]).sum()) for layer, mask in plain.items() if layer in after)
    missing = [layer for layer in plain if layer not in after]
    total = sum(int(mask.sum()) for mask in plain.values())
    stale = all(torch.equal(after.get(layer, ~mask), before[layer]) for layer, mask in plain.items())
    holds = not missing and others <= (MOST_OTHERS_IN_16_BITS if sixteen_bit else MOST_OTHERS) * total
    seen = "them" if holds else f"{others} others"
    if not holds and stale:
        seen += ", those of the intact model"
    return StageReceipt(
        stage="scorer",
        name="scored-anew",
        holds=holds,
        expected=f"the {total} weights of a block that plain scores of the model as it is select, but for near ties",
        seen=seen,
        advice="scores of another state of the model were used: those of the intact one are kept in the store",
        evidence={"weights": total, "others": others},
        looked_at=(blocks,),
    )
