"""The one way in which engines sample: the CDF is inverted at a random number that the request's seed alone decides.

Engines with the same logits therefore write the same sampled text, and neither the batch nor its size changes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def random_numbers(seed: Sequence[int], count: int) -> np.ndarray:
    """(count,) numbers from 0 to 1, one for each new token of a request."""
    return np.random.default_rng(seed).random(count)


def choose(logits: Tensor, temperature: Tensor, uniform: Tensor) -> Tensor:
    """(B, 1) token ids. logits: (B, V); NaN counts as 0. temperature, uniform: (B, 1), above 0 and from 0 to 1."""
    cumulative = (logits.nan_to_num(nan=0.0) / temperature).double().softmax(dim=-1).cumsum(dim=-1)
    threshold = uniform * cumulative[:, -1:]
    return torch.searchsorted(cumulative, threshold, right=True).clamp(max=logits.shape[1] - 1)


def only(tokens: Tensor, logits: Tensor) -> Tensor:
    """(B, V) logits under which each row can only give its token. tokens: (B, 1)."""
    return torch.full_like(logits, -torch.inf).scatter(1, tokens, 0.0)
