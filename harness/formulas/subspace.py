"""Ranks of linear layers: directions of their outputs, and what removing them takes from the weights.

Throughout, W is (d_out, d_in), X_in (d_in, n) its inputs at the calibration positions, G = X_in X_inᵀ
(d_in, d_in) their Gram matrix, and R = min(d_out, d_in) the number of directions that W has: the
paper's R of 4096 (7B) and 5120 (13B), which is R of every layer there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.formulas.eigenproblem import CYCLE_BLOCKS, OVERSAMPLING, leading_eigenpairs

#: ||A u - σ² u|| <= TOLERANCE * σ_1² for A = W G Wᵀ and every direction of the block method.
TOLERANCE = 1e-11
#: From this R on the block method is the faster one, where its basis fills at most an eighth of R (measured).
BLOCK_METHOD_FROM = 512

#: Multiples of it modulo 1 never come near each other.
GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class LowRankFactors:
    """ΔW = left @ (right @ W), of rank k at most. left: (d_out, k), right: (k, d_out), float64."""

    left: Tensor
    right: Tensor


def direction_count(weight: Tensor) -> int:
    """R = min(d_out, d_in)."""
    return min(weight.shape)


def leading_directions(weight: Tensor, gram: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The top `rank` left singular directions of W X_in and their singular values, largest first.

    weight: (d_out, d_in) of any dtype, gram: (d_in, d_in). 0 <= rank <= R, ValueError otherwise.
    Returns U (d_out, rank), orthonormal, and (rank,), both float64; the largest entry of every
    column is positive. The same input always gives the same basis; the published code's
    `torch.svd_lowrank` is unseeded (lib/model_wrapper_low.py:200). For directions whose singular value
    is lost in rounding, as behind the rank of X_in, see `_with_fixed_null_basis`.
    Source: Wei et al. 2024, section 2.1: W X_in = U S Vᵀ, hence W G Wᵀ = U S² Uᵀ.
    """
    _refuse_rank(weight, rank)
    limit = direction_count(weight)
    if rank and limit >= BLOCK_METHOD_FROM and 8 * (rank + OVERSAMPLING) * CYCLE_BLOCKS <= limit:
        found = leading_directions_by_blocks(weight, gram, rank)
        if found is not None:
            return found
    directions, singular_values = all_directions(weight, gram)
    return directions[:, :rank], singular_values[:rank]


def least_directions(weight: Tensor, gram: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """As `leading_directions`, the `rank` of R directions with the smallest singular values, largest first."""
    _refuse_rank(weight, rank)
    directions, singular_values = all_directions(weight, gram)
    kept = direction_count(weight) - rank
    return directions[:, kept:], singular_values[kept:]


def all_directions(weight: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """All R directions (d_out, R) and singular values (R,), from the symmetric eigenproblem in float64.

    Where d_in < d_out, W = Q T with Q (d_out, d_in) orthonormal, and the eigenproblem is that of
    T G Tᵀ, on the smaller side: U = Q V is orthonormal however small its singular values are.
    """
    matrix, gram = weight.detach().double(), gram.double()
    outer = None
    if matrix.shape[1] < matrix.shape[0]:
        outer, matrix = torch.linalg.qr(matrix)
    product = matrix @ gram @ matrix.mT  # (R, R)
    values, vectors = torch.linalg.eigh((product + product.mT) / 2)
    directions = vectors.flip(1) if outer is None else outer @ vectors.flip(1)
    values = values.flip(0)
    return _with_fixed_signs(_with_fixed_null_basis(directions, values)), values.clamp(min=0).sqrt()


def leading_directions_by_blocks(weight: Tensor, gram: Tensor, rank: int) -> tuple[Tensor, Tensor] | None:
    """As `leading_directions`, by products with W and G alone, to TOLERANCE; None where that is not reached."""
    matrix, gram = weight.detach().double(), gram.double()

    def apply(block: Tensor) -> Tensor:
        return matrix @ (gram @ (matrix.mT @ block))

    found = leading_eigenpairs(apply, matrix.shape[0], rank, TOLERANCE, matrix.device)
    if found is None:
        return None
    values, vectors = found
    return _with_fixed_signs(vectors), values.clamp(min=0).sqrt()


def removal_factors(directions: Tensor) -> LowRankFactors:
    """ΔW = U Uᵀ W for the directions U (d_out, r) that are removed.

    Top r: U from `leading_directions`. Least r, so that the top R - r stay: U from
    `least_directions`, since all R directions together give W back.
    Source: Wei et al. 2024, section 2.1 (which keeps U Uᵀ W).
    """
    return LowRankFactors(directions, directions.mT)


def projection_factors(
    weight: Tensor, safety_gram: Tensor, utility_gram: Tensor, safety_rank_removed: int, utility_rank_removed: int
) -> LowRankFactors:
    """ΔW = (I − Π_u) Π_s W, with Π_s on the top R − r_s safety and Π_u on the top R − r_u utility directions.

    safety_rank_removed: r_s, utility_rank_removed: r_u, both from 0 to R, ValueError otherwise.
    The factors have k = min(r_u, R − r_s), the rank that ΔW can have: I − Π_u on the outputs of W
    is the projector on the r_u least utility directions.
    Source: Wei et al. 2024, section 2.2 and table 7.
    """
    _refuse_rank(weight, safety_rank_removed)
    _refuse_rank(weight, utility_rank_removed)
    limit = direction_count(weight)
    safety, _ = leading_directions(weight, safety_gram, limit - safety_rank_removed)
    if utility_rank_removed < safety.shape[1]:
        unneeded, _ = least_directions(weight, utility_gram, utility_rank_removed)
        return LowRankFactors(unneeded, (unneeded.mT @ safety) @ safety.mT)
    utility, _ = leading_directions(weight, utility_gram, limit - utility_rank_removed)
    return LowRankFactors(safety - utility @ (utility.mT @ safety), safety.mT)


def subspace_similarity(utility: Tensor, safety: Tensor) -> float:
    """φ = ||U_uᵀ U_s||_F² / min(r_u, r_s), from 0 (orthogonal) to 1 (one holds the other).

    utility: (d_out, r_u), safety: (d_out, r_s), orthonormal columns, at least one each.
    Source: Hu et al. 2022, appendix G; Wei et al. 2024, section 4.3.
    """
    overlap = (utility.mT @ safety).square().sum()  # (r_u, r_s) -> ()
    return float(overlap) / min(utility.shape[1], safety.shape[1])


def parts_within(directions: Tensor, subspace: Tensor) -> Tensor:
    """||Uᵀ v||² of each direction v, from 0 (orthogonal to the subspace) to 1 (within it).

    directions: (d_out, r_v), subspace: U (d_out, r_u), orthonormal columns. Returns (r_v,).
    """
    return (directions.mT @ subspace).square().sum(dim=1)  # (r_v, r_u) -> (r_v,)


def rank_above_rounding(difference: Tensor, rounded: Tensor) -> int:
    """Rank of ΔW = W_before − W_after, as far as the rounding of W_after to its dtype lets it be seen.

    difference: (d_out, d_in) float64; rounded: (d_out, d_in), W_after in its own dtype. Rounding adds
    to ΔW independent errors of at most u |W_after|, u half the dtype's eps, whose largest singular
    value stays below u times (largest row norm + largest column norm) of W_after. Singular values
    above that bound, and above 1e-12 of the largest, count.
    Source: Bandeira and van Handel 2016 (standard deviation u |W| / √3 leaves a margin of √3).
    """
    after = rounded.double()
    unit = torch.finfo(rounded.dtype).eps / 2
    noise = unit * float(after.norm(dim=1).max() + after.norm(dim=0).max())
    singular_values = torch.linalg.svdvals(difference)
    return int((singular_values > max(noise, 1e-12 * float(singular_values[0]))).sum())


def _refuse_rank(weight: Tensor, rank: int) -> None:
    limit = direction_count(weight)
    if not 0 <= rank <= limit:
        raise ValueError(f"rank {rank} of a {tuple(weight.shape)} layer; expected 0 to {limit}")


def _with_fixed_null_basis(directions: Tensor, values: Tensor) -> Tensor:
    """The directions whose eigenvalues are lost in rounding, in a basis and an order that rounding does not touch.

    directions: (d_out, R) orthonormal. values: (R,) eigenvalues of W G Wᵀ, largest first. On the lost directions
    W X_in is 0 as far as can be told: any basis of them is as good, and eigh gives another one on another processor,
    so that a region which cuts through them would remove other weights there. Theirs is the eigenbasis of Nᵀ D N,
    N the lost directions and D a fixed diagonal matrix of distinct numbers: it depends on the space alone. Lost are
    eigenvalues up to 10 R eps of the largest (numpy's matrix_rank, with room for the rounding of the product).
    """
    bound = 10 * len(values) * torch.finfo(values.dtype).eps * float(values[0].clamp(min=0))
    lost = int((values <= bound).sum())
    if lost < 2:
        return directions
    null = directions[:, -lost:]  # (d_out, lost)
    places = torch.arange(1, len(null) + 1, dtype=null.dtype, device=null.device)
    fixed = (places * GOLDEN_RATIO).frac()[:, None]  # distinct, spread evenly over the outputs and their heads
    _, rotation = torch.linalg.eigh(null.mT @ (fixed * null))
    return torch.cat([directions[:, :-lost], null @ rotation], dim=1)


def _with_fixed_signs(directions: Tensor) -> Tensor:
    """An eigenvector is one up to its sign: the largest entry of every column is made positive."""
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))  # (1, r)
    return torch.where(largest < 0, -directions, directions)
