"""Receipt of the similarity of subspaces: φ of some layers from the whole spectra of W G Wᵀ, in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from harness.spec.measurement import Measurement
from harness.spec.receipt import LookedAt, StageReceipt

#: d_out³ of all layers that are looked at; the smallest always is.
MOST_WORK = 5e10
#: By how much φ, between 0 and 1, may differ: two directions of nearly equal weight may change places at the cut.
LARGEST_DIFFERENCE = 2e-3
_SHOWN = 2

Array = NDArray[np.float64]


def similarities(
    settings: Any,
    weights: Mapping[str, Tensor],
    grams: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    measurements: Sequence[Measurement],
) -> StageReceipt:
    """Whether φ of every rank is what the directions of utility and safety in a layer give.

    settings: of the evaluation. weights: W (d_out, d_in) by layer, those that are looked at first. grams: of the
    layers' inputs (d_in, d_in), on utility and on safety data.
    """
    told = {measured.metric: measured for measured in measurements}
    layers, problems = _affordable(weights), list[str]()
    for layer in layers:
        weight = _numbers(weights[layer])
        utility, safety = (_directions(weight, _numbers(gram[layer])) for gram in grams)
        for rank in settings.ranks:
            r = settings.rank_in_layer(rank, min(weight.shape))
            value = float(np.square(utility[:, :r].T @ safety[:, :r]).sum() / r)
            metric = f"{settings.metric(rank)}/{layer}"
            measured = told.get(metric)
            seen, n = (None, 0) if measured is None else (measured.value, measured.n)
            if seen is None or n != r or abs(seen - value) > LARGEST_DIFFERENCE:
                problems.append(f"{metric} {seen} of {n} where the spectra give {value:.6g} of {r}")
    return StageReceipt(
        stage="scorer",
        name="subspaces",
        holds=not problems,
        expected=f"similarities of {len(layers)} layers, as the whole spectra of their outputs have them",
        seen="; ".join(problems[:_SHOWN]) or "them",
        advice="look at which end of the spectrum is taken, at the two sets, and at what a sum is divided by",
        evidence={"layers": len(layers), "otherwise": len(problems)},
        looked_at=(LookedAt(what="layers", seen=len(layers), of=len(weights)),),
    )


def _affordable(weights: Mapping[str, Tensor]) -> list[str]:
    chosen: list[str] = []
    work = 0.0
    for layer, weight in weights.items():
        if not chosen or work + float(weight.shape[0]) ** 3 <= MOST_WORK:
            chosen.append(layer)
            work += float(weight.shape[0]) ** 3
    return chosen


def _directions(weight: Array, gram: Array) -> Array:
    """(d_out, d_out): directions of the layer's outputs, the one with the most of them first."""
    return np.linalg.eigh(weight @ gram @ weight.T)[1][:, ::-1]


def _numbers(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()
