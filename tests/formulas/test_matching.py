import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.formulas.matching import matched_random_mask


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 10**6), st.integers(0, 18), st.integers(1, 9))
def test_as_many_weights_are_taken_each_once_and_none_of_the_region(seed, chosen, window):
    weight = torch.randn(6, 6, generator=generator(seed))
    mask = torch.zeros(36, dtype=torch.bool)
    mask[torch.randperm(36, generator=generator(seed + 1))[:chosen]] = True
    found = matched_random_mask(weight, mask.reshape(6, 6), window, generator(seed))
    assert found.shape == (6, 6) and int(found.sum()) == chosen
    assert not (found.flatten() & mask).any()


def test_each_weight_has_one_at_most_a_window_away_in_rank():
    """By hand: of 1, -2, ... 11 in size, 6 is chosen; a window of 1 leaves 5 (below), 7 and 8 (at its place, above)."""
    weight = torch.tensor([[1.0, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11]])
    mask = weight.abs() == 6
    found = {float(weight[matched_random_mask(weight, mask, 1, generator(seed))].abs()) for seed in range(50)}
    assert found == {5.0, 7.0, 8.0}


def test_the_control_has_the_size_of_the_region_and_a_plain_random_draw_has_not():
    weight = torch.randn(200, 200, generator=generator(1)) * 0.02
    mask = weight.abs() > weight.abs().flatten().quantile(0.9)
    mask &= torch.rand(200, 200, generator=generator(2)) < 0.2
    found = matched_random_mask(weight, mask, 32, generator())
    sizes = [weight[chosen].abs().mean() for chosen in (mask, found)]
    assert float(sizes[1] / sizes[0]) == pytest.approx(1, abs=0.01)
    assert float(weight.abs().mean() / sizes[0]) < 0.5


def test_the_largest_weights_of_all_get_the_largest_that_are_left():
    weight = torch.arange(1.0, 11).reshape(2, 5)
    found = matched_random_mask(weight, weight > 7, 2, generator())
    assert set(weight[found].tolist()) <= {3.0, 4.0, 5.0, 6.0, 7.0}
    many = matched_random_mask(weight, weight > 5, 2, generator())
    assert set(weight[many].tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_a_seed_draws_the_same_weights_and_another_seed_others():
    weight = torch.randn(50, 50, generator=generator(3))
    mask = torch.rand(50, 50, generator=generator(4)) < 0.05
    first, again, other = (matched_random_mask(weight, mask, 32, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_region_of_more_than_half_of_a_layer_has_no_control():
    with pytest.raises(UserError, match="holds 3 of the 4 weights"):
        matched_random_mask(torch.ones(2, 2), torch.tensor([[True, True], [True, False]]), 1, generator())
