import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas.overlap import Overlap, overlap, overlap_by_layer


def mask(*rows):
    return torch.tensor(rows, dtype=torch.bool)


def test_two_masks_worked_out_by_hand():
    counts = overlap(mask([1, 1, 0], [1, 0, 0]), mask([0, 1, 1], [1, 1, 1]))
    assert counts == Overlap(first=3, second=5, both=2)
    assert counts.union == 6
    assert counts.jaccard == pytest.approx(1 / 3)
    assert counts.overlap_share == pytest.approx(2 / 3)


def test_equal_masks_overlap_wholly_and_disjoint_ones_not_at_all():
    one, other = mask([1, 0], [1, 0]), mask([0, 1], [0, 0])
    assert (overlap(one, one).jaccard, overlap(one, one).overlap_share) == (1.0, 1.0)
    assert (overlap(one, other).jaccard, overlap(one, other).overlap_share) == (0.0, 0.0)


def test_nothing_against_nothing_is_no_number_and_nothing_against_something_is_zero():
    empty, full = mask([0, 0]), mask([1, 1])
    assert (overlap(empty, empty).jaccard, overlap(empty, empty).overlap_share) == (None, None)
    assert (overlap(empty, full).jaccard, overlap(empty, full).overlap_share) == (0.0, None)
    assert (overlap(full, empty).jaccard, overlap(full, empty).overlap_share) == (0.0, 0.0)


def test_layers_together_are_counted_and_not_averaged():
    """A small layer with Jaccard 1 and a large one with 0: 1 of 5 weights, not the mean of 1/2."""
    first = {"small": mask([1]), "large": mask([1, 1, 0, 0])}
    second = {"small": mask([1]), "large": mask([0, 0, 1, 1])}
    by_layer = overlap_by_layer(first, second)
    assert [by_layer[name].jaccard for name in ("small", "large")] == [1.0, 0.0]
    assert sum(by_layer.values(), Overlap(0, 0, 0)).jaccard == pytest.approx(1 / 5)


def test_a_layer_that_one_region_does_not_name_holds_nothing_of_it():
    by_layer = overlap_by_layer({"a": mask([1, 0])}, {"b": mask([1, 1])})
    assert by_layer == {"a": Overlap(1, 0, 0), "b": Overlap(0, 2, 0)}


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_the_jaccard_index_is_symmetric_and_at_most_the_share_of_either(pairs):
    one, other = (mask([pair[side] for pair in pairs]) for side in (0, 1))
    forth, back = overlap(one, other), overlap(other, one)
    assert forth.jaccard == back.jaccard
    for share in (forth.overlap_share, back.overlap_share):
        assert share is None or 0 <= forth.jaccard <= share <= 1
