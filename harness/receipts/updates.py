"""What AdamW makes of a tensor in one step, computed a second time in float64. Source: Loshchilov and Hutter 2019."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.spec.finetuning import FineTuningSettings

#: torch's defaults, which the settings name.
BETAS, EPS = (0.9, 0.999), 1e-8
#: What an update may be off by, of the learning rate and of the weight; other moments or rates are off by hundredths.
OF_THE_RATE, OF_THE_WEIGHT = 1e-3, 1e-6
#: So many numbers of one tensor are updated a second time.
LARGEST_PART = 65_536


@dataclass
class Part:
    """A part of a tensor before a step, flat, float64: values, gradient, both moments and the number of steps."""

    tensor: Tensor
    values: Tensor
    gradient: Tensor
    first: Tensor
    second: Tensor
    steps: int


def part(optimizer: Any, leaf: Tensor) -> Part:
    """Of a tensor with a gradient, right before the step."""
    state = optimizer.state.get(leaf, {})

    def flat(tensor: Tensor | None) -> Tensor:
        values = leaf.detach() * 0 if tensor is None else tensor.detach()
        return values.flatten()[:LARGEST_PART].double().cpu().clone()

    moments = flat(state.get("exp_avg")), flat(state.get("exp_avg_sq"))
    return Part(leaf, flat(leaf), flat(leaf.grad), *moments, int(state.get("step", 0)))


def update_off(part: Part, settings: FineTuningSettings, rate: float) -> float:
    """How far the tensor lies from where AdamW puts it, as a share of what rounding may do.

    Entries that never had a gradient may be frozen, and are not moved by weight decay then.
    """
    first = BETAS[0] * part.first + (1 - BETAS[0]) * part.gradient
    second = BETAS[1] * part.second + (1 - BETAS[1]) * part.gradient.square()
    steps = part.steps + 1
    direction = (first / (1 - BETAS[0] ** steps)) / ((second / (1 - BETAS[1] ** steps)).sqrt() + EPS)
    wanted = part.values * (1 - rate * settings.weight_decay) - rate * direction
    found = part.tensor.detach().flatten()[:LARGEST_PART].double().cpu()
    allowed = OF_THE_RATE * rate + OF_THE_WEIGHT * part.values.abs()
    off = ((found - wanted).abs() / allowed).nan_to_num(nan=math.inf)
    return float(off.masked_fill((second == 0) & (found == part.values), 0.0).max())
