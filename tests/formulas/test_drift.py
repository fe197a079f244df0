"""Drift against numpy in float64 and against a resampling that copies every value, and by hand in bfloat16."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas.drift import (
    BINS,
    Figure,
    change_of_merged,
    group_figures,
    percentile_interval,
    quantile_figure,
    ratio,
    resampled_layers,
)

N, LAYERS = 1200, 12


@pytest.fixture
def group():
    """Weights of twelve layers, some of them 0, and changes that differ from layer to layer."""
    generator = torch.Generator().manual_seed(5)
    layer = torch.arange(N) % LAYERS
    before = torch.randn(N, generator=generator) * 0.03
    before[::100] = 0.0
    change = torch.randn(N, generator=generator) * 1e-3 * (1 + layer)
    change[5::50] = 0.0
    return before, change, layer


def trimmed(values):
    return np.sort(values)[: len(values) - len(values) // 100].mean()


def by_numpy(before, change):
    """Every statistic from the definitions, in float64."""
    w, d = before.double().numpy(), change.double().numpy()
    found = {}
    for kind, values in (("absolute", np.abs(d)), ("relative", np.abs(d[w != 0]) / np.abs(w[w != 0]))):
        found |= {
            f"{kind}_mean": values.mean(),
            f"{kind}_std": values.std(),
            f"{kind}_median": np.median(values),
            f"{kind}_max": values.max(),
            f"{kind}_trimmed_mean": trimmed(values),
            **{f"{kind}_q{q:02d}": np.percentile(values, q) for q in (5, 25, 75, 95, 99)},
        }
    return found | {"norm_ratio": np.linalg.norm(d) / np.linalg.norm(w), "unchanged_share": (d == 0).mean()}


def test_every_statistic_is_that_of_its_definition(group):
    before, change, layer = group
    found = group_figures(before, change, layer, resampled_layers(LAYERS, 10, 0))
    expected = by_numpy(before, change)
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected, rel=1e-12)
    assert found["relative_mean"].n == N - 12 and found["absolute_mean"].n == found["norm_ratio"].n == N


@pytest.mark.parametrize("repeats", [1, 4])  # more values than bins, too
def test_resampled_statistics_are_those_of_layers_that_are_copied_as_often_as_they_were_drawn(group, repeats):
    before, change, layer = (torch.cat([part] * repeats) for part in group)
    change = change * torch.linspace(1, 1.5, len(change))
    drawn = resampled_layers(LAYERS, 20, 3)
    assert (drawn.sum(dim=1) == LAYERS).all() and (len(change) > BINS) == (repeats == 4)
    found = group_figures(before, change, layer, drawn)
    for replicate in range(20):
        copies = torch.cat(
            [
                torch.arange(len(layer))[layer == number].repeat(int(drawn[replicate, number]))
                for number in range(LAYERS)
            ]
        )
        expected = by_numpy(before[copies], change[copies])
        for name, tolerance in (
            ("absolute_mean", 1e-10),
            ("relative_mean", 1e-10),
            ("norm_ratio", 1e-10),
            ("absolute_median", 0.02),
            ("relative_median", 0.02),
            ("relative_trimmed_mean", 0.02),
        ):
            value = float(found[name].resampled[replicate])
            assert value == pytest.approx(expected[name], rel=tolerance), (name, replicate)


def test_a_seed_draws_the_same_layers_and_another_seed_others():
    assert torch.equal(resampled_layers(9, 50, 1), resampled_layers(9, 50, 1))
    assert not torch.equal(resampled_layers(9, 50, 1), resampled_layers(9, 50, 2))


def test_the_interval_holds_the_mean_of_the_layers_population_about_as_often_as_it_says():
    """Layers have levels around 2; within a layer values hardly differ. Taken for independent values, 30 layers
    of 20 would give intervals that hold the level in far fewer than half of the trials."""
    held = []
    for trial in range(150):
        generator = torch.Generator().manual_seed(trial)
        level = 2 + torch.randn(30, generator=generator).clamp(-1.9, 5)
        layer = torch.arange(600) % 30
        change = level[layer] + 0.01 * torch.randn(600, generator=generator)
        found = group_figures(torch.ones(600), change, layer, resampled_layers(30, 300, trial))
        held.append(
            [
                low <= 2.0 <= high
                for low, high in (found[name].interval for name in ("absolute_mean", "absolute_median"))
            ]
        )
    assert 0.87 < np.mean(held, axis=0)[0] < 0.99
    assert 0.85 < np.mean(held, axis=0)[1] < 1.0


def test_ratios_are_paired_so_that_a_group_against_its_double_is_exactly_two(group):
    before, change, layer = group
    drawn = resampled_layers(LAYERS, 100, 0)
    once, twice = (group_figures(before, factor * change, layer, drawn) for factor in (1, 2))
    for name in ("absolute_mean", "relative_median", "relative_trimmed_mean", "norm_ratio"):
        found = ratio(twice[name], once[name])
        assert (found.value, *found.interval) == pytest.approx((2, 2, 2))


def test_a_ratio_that_divides_by_nothing_is_not_there():
    some, nothing = Figure(1.0, 5, torch.ones(3)), Figure(0.0, 5, torch.zeros(3))
    assert ratio(some, nothing) is None
    assert ratio(some, Figure(1.0, 5, torch.tensor([1.0, 0.0, 1.0]))) is None
    assert ratio(some, Figure(1.0, 5)) is None


def test_a_replicate_without_a_weight_gives_no_interval():
    found = group_figures(torch.ones(4), torch.ones(4), torch.zeros(4, dtype=torch.long), resampled_layers(3, 200, 0))
    assert found["absolute_mean"].value == 1.0
    assert {found[name].interval for name in ("absolute_mean", "absolute_median", "norm_ratio")} == {None}
    assert percentile_interval(torch.tensor([])) is None


def test_a_group_of_zeros_has_no_relative_change():
    found = group_figures(torch.zeros(3), torch.ones(3), torch.arange(3), resampled_layers(3, 10, 0))
    assert not [name for name in found if name.startswith(("relative", "norm"))]
    assert found["absolute_mean"].value == 1.0


def test_the_mean_of_ratios_follows_one_weight_near_zero_and_the_others_do_not():
    """1,000 equal changes of equal weights; one weight made a millionth of itself."""
    layer = torch.arange(1000) % 10
    before, change = torch.full((1000,), 0.02), torch.full((1000,), 1e-4)
    drawn = resampled_layers(10, 50, 0)
    plain = group_figures(before, change, layer, drawn)
    before[7] *= 1e-6
    near = group_figures(before, change, layer, drawn)
    assert near["relative_mean"].value > 1000 * plain["relative_mean"].value
    for name in ("relative_median", "relative_trimmed_mean", "norm_ratio", "absolute_mean"):
        assert near[name].value == pytest.approx(plain[name].value, rel=1e-3)


def test_bfloat16_rounds_small_updates_away_and_float32_keeps_them():
    """Between 1 and 2 bfloat16 has steps of 2^-7 = 0.0078125: 0.003 is under half of one, 0.004 above."""
    weight, update = torch.tensor([1.0, 1.0, 0.01, 1.002]), torch.tensor([0.003, 0.004, 0.003, 0.003])
    rounded = change_of_merged(weight, update, torch.bfloat16)
    assert rounded[:2].tolist() == [0.0, 0.0078125]
    assert float(rounded[2]) == pytest.approx(0.003, rel=0.02)
    assert rounded[3] == 0  # W₀ is rounded to 1 first, as loading it in bfloat16 does
    assert torch.allclose(change_of_merged(weight, update, torch.float32).float(), update, atol=1e-7)


def test_the_neighbours_of_a_quantile_are_one_rank_away():
    ordered = torch.tensor([0.0, 0.0, 0.0, 1.0, 5.0])
    assert quantile_figure(ordered, 0.5).neighbours == (0.0, 1.0)
    assert quantile_figure(ordered, 0.75).neighbours == (0.0, 5.0)
    assert quantile_figure(ordered, 0.9).neighbours == (0.0, 5.0)  # between ranks 3 and 4: from rank 2 to the last


@given(
    st.lists(st.integers(0, 1000), min_size=3, max_size=40),
    st.sampled_from([0.05, 0.25, 0.5, 0.75, 0.95, 0.99]),
    st.data(),
)
def test_a_quantile_of_which_one_value_changes_stays_between_its_neighbours(values, q, data):
    changed = list(values)
    changed[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.integers(min(values), max(values)))
    low, high = quantile_figure(torch.tensor(sorted(values), dtype=torch.float64), q).neighbours
    moved = quantile_figure(torch.tensor(sorted(changed), dtype=torch.float64), q).value
    assert low - 1e-9 <= moved <= high + 1e-9


def test_a_ratio_of_medians_has_the_neighbours_of_both():
    draws = torch.tensor([1.0, 2.0])
    first, second = Figure(2.0, 9, draws, neighbours=(1.0, 4.0)), Figure(4.0, 9, draws, neighbours=(2.0, 5.0))
    assert ratio(first, second).neighbours == pytest.approx((0.2, 2.0))
    assert ratio(first, Figure(4.0, 9, draws)).neighbours is None
