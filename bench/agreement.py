"""Do two implementations give the same? Asked before a time is printed: fast and wrong is not fast."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

#: Largest difference of two scores of a layer, as a share of its largest score.
SCORE_TOLERANCE = 1e-5
#: Errors of W G Wᵀ, as a share of its largest eigenvalue, by which directions may be turned.
ROUNDING = 1e-5
#: Share of the outputs' energy in the exact directions that an approximation of them has to catch.
CAUGHT_ENERGY = 0.95


class DisagreementError(Exception):
    """Two implementations of one method do not give the same."""


def require_equal_scores(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Scores within SCORE_TOLERANCE: masks of any fraction are then equal up to ties within twice of it."""
    if list(found) != list(wanted):
        raise DisagreementError(f"scores of {len(found)} layers, expected those of {len(wanted)}")
    for name, expected in wanted.items():
        allowed = SCORE_TOLERANCE * float(expected.max())
        difference = float((found[name] - expected).abs().max())
        if not difference <= allowed:
            raise DisagreementError(f"{name}: scores differ by {difference:.3g}; expected at most {allowed:.3g}")


def require_same_subspace(name: str, found: Tensor, outputs: Tensor) -> float:
    """The angle between `found` and the leading right singular vectors of `outputs`, no larger than rounding makes it.

    found: (d_out, r). outputs: (n, d_out). Returns the largest sine that is allowed: by the theorem of
    Davis and Kahan, ROUNDING σ_1² / (σ_r² − σ_{r+1}²). Raises DisagreementError beyond it, and where
    it is 0.1 or more, since that would compare nothing.
    """
    _, singular_values, right = torch.linalg.svd(outputs.double(), full_matrices=False)
    rank = found.shape[1]
    squares = singular_values.square() / singular_values[0].square()
    gap = float(squares[rank - 1] - squares[rank])
    if 0.1 * gap <= ROUNDING:
        raise DisagreementError(f"{name}: singular values {rank} and {rank + 1} are too close to compare directions")
    exact, allowed = right[:rank].mT, ROUNDING / gap
    sine = float(torch.linalg.matrix_norm(found.double() @ found.double().mT - exact @ exact.mT, 2))
    if not sine <= allowed:
        raise DisagreementError(f"{name}: directions turned by a sine of {sine:.3g}; expected at most {allowed:.3g}")
    return allowed


def require_caught_energy(name: str, found: Tensor, outputs: Tensor) -> None:
    """`found` catches as much of the outputs as directions that are not fully converged can be asked for.

    found: (d_out, r), orthonormal. outputs: (n, d_out).
    """
    outputs = outputs.double()
    best = float(torch.linalg.svdvals(outputs)[: found.shape[1]].square().sum())
    caught = float((outputs @ found.double()).square().sum()) / best
    if not CAUGHT_ENERGY <= caught <= 1 + ROUNDING:
        raise DisagreementError(f"{name}: the directions catch {caught:.4f} of the energy that {found.shape[1]} can")
