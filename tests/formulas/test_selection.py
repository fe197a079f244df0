import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas.selection import bottom_mask, selected_count, set_difference_mask, top_mask


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
