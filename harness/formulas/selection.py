"""From scores to masks: True where a weight is selected."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.spec.region import ComparisonGroup


def top_mask(scores: Tensor, fraction: float, group: ComparisonGroup) -> Tensor:
    """The `fraction` of weights with the largest scores within each row, or over the matrix.

    scores: (d_out, d_in). Returns (d_out, d_in) bool. int(fraction * size) weights are selected in
    each group, rounded down as in the published code; of equal scores the one with the lower index
    wins, so that the same scores always give the same mask.
    """
    groups = scores if group == "row" else scores.reshape(1, -1)
    return _largest(groups, selected_count(tuple(scores.shape), fraction, group)).reshape(scores.shape)


def near_ties(scores: Tensor, fraction: float, group: ComparisonGroup, width: float) -> Tensor:
    """Weights that another rounding of the scores can select or drop: (d_out, d_in) bool.

    scores: (d_out, d_in). width: relative. Those within it of the last score that is selected, where both sides of
    the selection have some; weights whose scores are exactly equal are no near ties, since the index decides.
    If every score moves by a share e of itself, each weight whose selection changes lies within 2e / (1 - e).

    No rule can take near ties away. A rule makes masks, of which there are finitely many, from scores, which move
    continuously, so it jumps somewhere; scores brought to fewer digits only jump elsewhere, at the edges of a digit.
    """
    groups = scores if group == "row" else scores.reshape(1, -1)
    selected = _largest(groups, selected_count(tuple(scores.shape), fraction, group))
    if not selected.any():
        return torch.zeros_like(scores, dtype=torch.bool)
    last = groups.masked_fill(~selected, torch.inf).min(dim=1, keepdim=True).values  # (G, 1)
    close = (groups - last).abs() <= width * last.abs()
    differing = (close & (groups != last)).any(dim=1, keepdim=True)
    decided = (close & selected).any(dim=1, keepdim=True) & (close & ~selected).any(dim=1, keepdim=True)
    return (close & differing & decided).reshape(scores.shape)


def bottom_mask(scores: Tensor, fraction: float, group: ComparisonGroup) -> Tensor:
    """As `top_mask`, with the smallest scores."""
    return top_mask(-scores, fraction, group)


def set_difference_mask(
    utility_scores: Tensor, safety_scores: Tensor, p: float, q: float, group: ComparisonGroup
) -> Tensor:
    """S(p, q) = top q of safety without top p of utility.

    utility_scores, safety_scores: (d_out, d_in). Returns (d_out, d_in) bool.
    Source: Wei et al. 2024, section 2.2, eq. 4.
    """
    return top_mask(safety_scores, q, group) & ~top_mask(utility_scores, p, group)


def selected_count(shape: tuple[int, ...], fraction: float, group: ComparisonGroup) -> int:
    """Number of weights selected in one comparison group of a (d_out, d_in) matrix.

    The product is formed in the order of the published code (lib/prune.py:1680), whose floating
    point result it shares.
    """
    rows, columns = shape
    return int(columns * fraction) if group == "row" else int(fraction * columns * rows)


def _largest(groups: Tensor, count: int) -> Tensor:
    """(G, n) -> (G, n) bool, `count` True in every row; of ties the lower index."""
    if count == 0:
        return torch.zeros_like(groups, dtype=torch.bool)
    threshold = groups.topk(count, dim=1).values[:, -1:]  # (G, 1)
    above = groups > threshold
    tied = groups == threshold
    still_wanted = count - above.sum(dim=1, keepdim=True)
    return above | (tied & (tied.cumsum(dim=1) <= still_wanted))
