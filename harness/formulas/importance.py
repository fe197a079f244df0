"""Importance scores of linear layers, larger meaning more important (section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor

#: Gradients of one layer that are held at once on a GPU: 8 of the largest of Llama-2-7B take 1.4 GB.
EXAMPLES_AT_ONCE_ON_GPU = 8


def snip_score(weight: Tensor, mean_absolute_gradient: Tensor) -> Tensor:
    """SNIP |W_ij| * mean over examples of |dL(x)/dW_ij|, in float32.

    The absolute value is taken for each example before the mean: |W ∘ g| = |W| ∘ |g|.
    weight, mean_absolute_gradient: (d_out, d_in). Returns (d_out, d_in).
    Source: Wei et al. 2024, section 2.1, eq. 2; Lee et al. 2019.
    """
    return weight.detach().float().abs() * mean_absolute_gradient.float()


def examples_at_once(device: torch.device) -> int:
    """How many examples' gradients of one layer are formed in one product.

    On a GPU what limits it is the traffic of a matrix as large as the layer, which is written and read for each
    example: several products that are summed in one reading take a third of it. A CPU gains nothing.
    """
    return EXAMPLES_AT_ONCE_ON_GPU if device.type == "cuda" else 1


def sum_of_absolute_gradients(output_gradients: Tensor, inputs: Tensor, at_once: int | None = None) -> Tensor:
    """Sum over examples of |dL(x)/dW| for a linear layer y = W x, in float32.

    output_gradients: (B, T, d_out), the gradient of each example's own loss at the layer's output.
    inputs: (B, T, d_in). Returns (d_out, d_in). The gradients of `at_once` examples are held at a time, by default
    `examples_at_once`; it changes nothing but the order of the sum.
    """
    total = torch.zeros(output_gradients.shape[-1], inputs.shape[-1], device=inputs.device)
    step = at_once or examples_at_once(inputs.device)
    for gradients, x in zip(output_gradients.split(step), inputs.split(step), strict=True):
        if step == 1:
            total += _product(gradients, x)[0].abs_()
        else:
            total += torch.linalg.vector_norm(_product(gradients, x), ord=1, dim=0)
    return total


def signed_snip_score(weight: Tensor, mean_gradient: Tensor) -> Tensor:
    """Signed SNIP W_ij * mean over examples of dL(x)/dW_ij, in float32.

    Removing the weight changes the mean loss by about minus this, to first order.
    weight, mean_gradient: (d_out, d_in). Returns (d_out, d_in).
    Source: Orgad et al. 2026, arXiv 2604.09544.
    """
    return weight.detach().float() * mean_gradient.float()


def sum_of_gradients(output_gradients: Tensor, inputs: Tensor) -> Tensor:
    """Sum over examples of dL(x)/dW for a linear layer y = W x, in float32, in one product.

    output_gradients: (B, T, d_out), the gradient of each example's own loss at the layer's output.
    inputs: (B, T, d_in). Returns (d_out, d_in).
    """
    return _product(output_gradients.flatten(0, 1)[None], inputs.flatten(0, 1)[None])[0]


def _product(gradients: Tensor, inputs: Tensor) -> Tensor:
    """(k, T, d_out)ᵀ x (k, T, d_in) -> (k, d_out, d_in) in float32.

    Products of 16-bit numbers are exact in float32: a GPU multiplies them as they are and adds up in float32, which
    gives the same sums as float32 inputs would, up to their order, at the speed of its 16-bit units.
    """
    if inputs.device.type == "cuda" and inputs.dtype != torch.float32:
        return torch.bmm(gradients.mT, inputs, out_dtype=torch.float32)
    return torch.bmm(gradients.float().mT, inputs.float())


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
