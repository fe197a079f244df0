"""Importance scores of linear layers, larger meaning more important (section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def snip_score(weight: Tensor, mean_absolute_gradient: Tensor) -> Tensor:
    """SNIP |W_ij| * mean over examples of |dL(x)/dW_ij|, in float32.

    The absolute value is taken for each example before the mean: |W ∘ g| = |W| ∘ |g|.
    weight, mean_absolute_gradient: (d_out, d_in). Returns (d_out, d_in).
    Source: Wei et al. 2024, section 2.1, eq. 2; Lee et al. 2019.
    """
    return weight.detach().float().abs() * mean_absolute_gradient.float()


def sum_of_absolute_gradients(output_gradients: Tensor, inputs: Tensor) -> Tensor:
    """Sum over examples of |dL(x)/dW| for a linear layer y = W x, in float32.

    output_gradients: (B, T, d_out), the gradient of each example's own loss at the layer's output.
    inputs: (B, T, d_in). Returns (d_out, d_in). One example's gradient is held at a time.
    """
    total = torch.zeros(output_gradients.shape[-1], inputs.shape[-1], device=inputs.device)
    for gradient, x in zip(output_gradients.float(), inputs.float(), strict=True):
        total += (gradient.T @ x).abs_()  # (T, d_out)ᵀ x (T, d_in) -> (d_out, d_in)
    return total


def wanda_score(weight: Tensor, input_norms: Tensor) -> Tensor:
    """Wanda importance |W_ij| * ||X_j||_2, in float32.

    weight: (d_out, d_in). input_norms: (d_in,), over response tokens only.
    Returns (d_out, d_in).
    Source: Wei et al. 2024, section 2.1; Sun et al. 2024, eq. 1.
    """
    return weight.detach().float().abs() * input_norms.float()


def magnitude_score(weight: Tensor) -> Tensor:
    """|W_ij| in float32. weight: (d_out, d_in). Returns (d_out, d_in)."""
    return weight.detach().float().abs()


def random_score(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent uniform scores in [0, 1) of the given shape, on the CPU."""
    return torch.rand(shape, generator=generator)
