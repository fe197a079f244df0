"""Intervals of medians and trimmed means, made again from exact replicates."""

import numpy as np
import pytest
import torch

from harness.formulas.drift import group_figures, ratio, resampled_layers
from harness.receipts.drift_intervals import drawn_layers, replicates_of


def group(n, seed):
    """w and the change of n weights in seven layers, which move by much the same in a layer."""
    draw = torch.Generator().manual_seed(seed)
    layer = torch.randint(7, (n,), generator=draw)
    change = torch.randn(n, generator=draw) * (1 + layer) + 0.1
    return torch.randn(n, generator=draw) + 2, change, layer


def both(n, seed=0, replicates=200):
    """Figures as they are measured, and replicates as the receipt makes them."""
    before, change, layer = group(n, seed)
    figures = group_figures(before, change, layer, resampled_layers(7, replicates, 3))
    made = dict(replicates_of(change.abs().double().numpy(), layer.numpy(), drawn_layers(7, replicates, 3)))
    return figures, made


@pytest.mark.parametrize("statistic", ["median", "trimmed_mean"])
@pytest.mark.parametrize("n", [5, 300, 9000])
def test_intervals_in_use_are_as_near_as_a_bin_allows(n, statistic):
    figures, made = both(n)
    found, own = figures[f"absolute_{statistic}"].interval, made[statistic]
    assert own.holds(found, 1e-3)
    if n > 5:
        assert found is not None
        low, high = found
        for other in ((low * 1.05, high), (low, high * 0.95), (low * 0.9, high * 1.1), None):
            assert not own.holds(other, 1e-3)


def test_ratios_are_paired():
    (first, made), (second, others) = both(9000, 0), both(9000, 1)
    found = ratio(first["absolute_median"], second["absolute_median"])
    own = made["median"].over(others["median"])
    assert own.holds(found.interval, 1e-3)
    unpaired = dict(replicates_of(*values_of(1), drawn_layers(7, 200, 4)))["median"]
    low, high = np.percentile(first["absolute_median"].resampled.numpy() / unpaired.least, (2.5, 97.5))
    assert not own.holds((low, high), 1e-3)


def values_of(seed):
    _, change, layer = group(9000, seed)
    return change.abs().double().numpy(), layer.numpy()
