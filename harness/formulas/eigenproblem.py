"""Leading eigenpairs of a large symmetric matrix that is only ever applied, never formed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Columns beyond those wanted: the method converges by the gap behind them.
OVERSAMPLING = 8
#: Blocks of one Krylov basis before it is restarted from its best vectors.
CYCLE_BLOCKS = 6
MAXIMUM_CYCLES = 40


def leading_eigenpairs(
    apply: Callable[[Tensor], Tensor], size: int, count: int, tolerance: float, device: torch.device
) -> tuple[Tensor, Tensor] | None:
    """The `count` largest eigenvalues of a positive semidefinite matrix A and their eigenvectors.

    apply: (size, b) -> (size, b), the product with A, in float64. Returns (count,) descending and
    (size, count) orthonormal with ||A u - λ u|| <= tolerance * λ_1 for every pair, or None where
    that is not reached in MAXIMUM_CYCLES: a spectrum without gap is for the full eigenproblem.
    Restarted block Krylov iteration with full orthogonalisation and Rayleigh-Ritz, from a fixed
    start, so that the same matrix always gives the same vectors. Needs (count + OVERSAMPLING) *
    CYCLE_BLOCKS <= size.
    Source: Golub and Van Loan 2013, section 10.3.
    """
    start = torch.randn(size, count + OVERSAMPLING, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    block = torch.linalg.qr(apply(start.to(device))).Q
    for _ in range(MAXIMUM_CYCLES):
        basis, images = _krylov_basis(apply, block)
        projected = basis.mT @ images
        ascending, coordinates = torch.linalg.eigh((projected + projected.mT) / 2)
        values = ascending.flip(0)[: block.shape[1]]
        coordinates = coordinates.flip(1)[:, : block.shape[1]]
        vectors = basis @ coordinates  # (size, b)
        residuals = (images @ coordinates - vectors * values)[:, :count].norm(dim=0)
        if (residuals <= tolerance * values[0]).all():
            return values[:count], vectors[:, :count]
        block = torch.linalg.qr(vectors).Q
    return None


def _krylov_basis(apply: Callable[[Tensor], Tensor], block: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal basis of [B, A B, A² B, ...] and its product with A, each (size, b * CYCLE_BLOCKS)."""
    blocks, images = [block], [apply(block)]
    while len(blocks) < CYCLE_BLOCKS:
        basis, following = torch.cat(blocks, dim=1), images[-1]
        for _ in range(2):  # once leaves what rounding left of the basis; twice is enough
            following = torch.linalg.qr(following - basis @ (basis.mT @ following)).Q
        blocks.append(following)
        images.append(apply(following))
    return torch.cat(blocks, dim=1), torch.cat(images, dim=1)
