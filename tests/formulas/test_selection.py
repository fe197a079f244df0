import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas.selection import bottom_mask, near_ties, selected_count, set_difference_mask, top_mask


def test_top_mask_by_row_takes_the_largest_of_each_row():
    scores = torch.tensor([[1.0, 4.0, 2.0, 3.0], [9.0, 8.0, 7.0, 6.0]])
    assert top_mask(scores, 0.5, "row").tolist() == [[False, True, False, True], [True, True, False, False]]


def test_top_mask_over_the_matrix_lets_one_row_win():
    scores = torch.tensor([[1.0, 4.0, 2.0, 3.0], [9.0, 8.0, 7.0, 6.0]])
    assert top_mask(scores, 0.5, "matrix").tolist() == [[False] * 4, [True] * 4]


def test_ties_go_to_the_lower_index():
    assert top_mask(torch.ones(1, 4), 0.5, "row").tolist() == [[True, True, False, False]]


def test_bottom_mask_takes_the_smallest():
    assert bottom_mask(torch.tensor([[1.0, 4.0, 2.0, 3.0]]), 0.25, "row").tolist() == [[True, False, False, False]]


def test_set_difference_leaves_weights_that_utility_needs():
    safety = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    utility = torch.tensor([[9.0, 0.0, 0.0, 8.0]])
    assert set_difference_mask(utility, safety, 0.5, 0.5, "row").tolist() == [[False, True, False, False]]


@given(rows=st.integers(1, 4), columns=st.integers(1, 30), share=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_every_row_of_a_row_mask_holds_the_same_count(rows, columns, share, seed):
    scores = torch.randint(0, 5, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()
    counts = top_mask(scores, share, "row").sum(dim=1)
    assert counts.tolist() == [selected_count((rows, columns), share, "row")] * rows


@given(p=st.floats(0.01, 1.0), q=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_a_set_difference_is_disjoint_from_utility_and_inside_safety(p, q, seed):
    generator = torch.Generator().manual_seed(seed)
    utility, safety = torch.rand(3, 9, generator=generator), torch.rand(3, 9, generator=generator)
    mask = set_difference_mask(utility, safety, p, q, "matrix")
    assert not (mask & top_mask(utility, p, "matrix")).any()
    assert not (mask & ~top_mask(safety, q, "matrix")).any()


def test_near_ties_are_those_on_both_sides_of_the_last_that_is_selected():
    scores = torch.tensor([[5.0, 3.001, 3.0, 2.999, 1.0]])
    assert near_ties(scores, 0.6, "row", 1e-3).tolist() == [[False, True, True, True, False]]
    assert not near_ties(scores, 0.2, "row", 1e-3).any()
    assert not near_ties(torch.ones(1, 4), 0.5, "row", 1e-3).any()  # exactly equal: the index decides


@given(columns=st.integers(2, 60), share=st.floats(0.05, 0.95), error=st.floats(1e-6, 0.2), seed=st.integers(0, 999))
def test_another_rounding_of_scores_selects_or_drops_near_ties_alone(columns, share, error, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(2, columns, generator=generator, dtype=torch.float64) + 0.01
    moved = scores * (1 + error * (2 * torch.rand(scores.shape, generator=generator, dtype=torch.float64) - 1))
    for group in ("row", "matrix"):
        changed = top_mask(scores, share, group) ^ top_mask(moved, share, group)
        assert not (changed & ~near_ties(scores, share, group, 2 * error / (1 - error) + 1e-12)).any()


@given(digits=st.integers(1, 4), seed=st.integers(0, 99))
def test_scores_of_fewer_digits_have_near_ties_at_the_edges_of_a_digit(digits, seed):
    """Why selection compares scores as they are: brought to fewer digits, a smallest change selects others as well."""
    step = 10.0**-digits
    low = torch.tensor([[step * (10 + seed % 7) + step / 2]], dtype=torch.float64)
    scores = torch.cat([low * (1 - 1e-9), low * (1 - 2e-9), low * (1 - 3e-9)], dim=1)
    moved = scores.clone()
    moved[0, 2] = low * (1 + 1e-9)
    masks = [top_mask((each / step).round(), 0.4, "row") for each in (scores, moved)]
    assert masks[0].tolist() == [[True, False, False]]
    assert masks[1].tolist() == [[False, False, True]]
