"""Receipts of masks, on matrices worked out by hand."""

import pytest
import torch
from torch import nn

from harness.regions import base
from harness.regions._mask_receipts import (
    as_in_the_file,
    as_large_and_apart,
    fits_the_model,
    selected_as_scored,
    share_as_asked,
    whole_heads,
)
from harness.regions.bottom import Settings as BottomRegion
from harness.regions.set_difference import Settings as SetDifferenceRegion
from harness.regions.top import Settings as TopRegion

Q0, Q1 = "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"
SAFETY = torch.tensor([[4.0, 3, 2, 1], [8, 7, 6, 5]])
UTILITY = torch.tensor([[4.0, 1, 3, 2], [1, 2, 3, 4]])
TOP = base.region(TopRegion(select="top", method="snip", data="d", fraction=0.5))
DIFFERENCE = base.region(
    SetDifferenceRegion(select="set-difference", method="snip", safety="s", utility="u", p=0.25, q=0.5)
)


def masks(*rows):
    return {Q0: torch.tensor(rows, dtype=torch.bool)}


@pytest.mark.parametrize(
    ("region", "group", "scores", "rows"),
    [
        (TOP, "row", [SAFETY], ([1, 1, 0, 0], [1, 1, 0, 0])),
        (TOP, "matrix", [SAFETY], ([0, 0, 0, 0], [1, 1, 1, 1])),
        (
            base.region(BottomRegion(select="bottom", method="snip", data="d", fraction=0.25)),
            "row",
            [SAFETY],
            ([0, 0, 0, 1], [0, 0, 0, 1]),
        ),
        (DIFFERENCE, "row", [SAFETY, UTILITY], ([0, 1, 0, 0], [1, 1, 0, 0])),
        (TOP, "row", [torch.zeros(2, 4)], ([1, 1, 0, 0], [1, 1, 0, 0])),
    ],
)
def test_the_mask_that_scores_select_is_the_right_one(region, group, scores, rows):
    assert region.expected([score.numpy() for score in scores], group).tolist() == masks(*rows)[Q0].tolist()
    assert selected_as_scored(region, group, masks(*rows), [{Q0: score} for score in scores]).holds
    assert share_as_asked(region, group, masks(*rows)).holds


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (([0, 0, 0, 0], [1, 1, 1, 1]), "compared over the whole matrix"),
        (([0, 0, 1, 1], [0, 0, 1, 1]), "negated"),
        (([1, 0, 1, 0], [0, 0, 1, 1]), "the mask is that of model.layers.1.self_attn.q_proj"),
        (([1, 0, 1, 0], [1, 1, 0, 0]), "no known mistake"),
    ],
)
def test_another_mask_is_told_by_the_mistake_that_gives_it(rows, words):
    receipt = selected_as_scored(TOP, "row", masks(*rows), [{Q0: SAFETY, Q1: UTILITY}])
    assert not receipt.holds
    assert words in receipt.words


def test_a_transposed_mask_is_told():
    square = torch.tensor([[4.0, 1], [3, 2]])
    receipt = selected_as_scored(TOP, "row", masks([1, 1], [0, 0]), [{Q0: square}])
    assert "transposed" in receipt.words


def test_a_set_difference_tells_what_was_swapped():
    of_swapped = DIFFERENCE.expected([UTILITY.numpy(), SAFETY.numpy()], "row")
    receipt = selected_as_scored(DIFFERENCE, "row", {Q0: torch.from_numpy(of_swapped)}, [{Q0: SAFETY}, {Q0: UTILITY}])
    assert "safety and utility were swapped" in receipt.words


def test_another_number_of_weights_is_told_by_layer_type():
    receipt = share_as_asked(TOP, "row", masks([1, 1, 1, 0], [1, 1, 0, 0]))
    assert (receipt.holds, "q_proj: 4 of 8" in receipt.expected, receipt.seen) == (False, True, "q_proj: 5")


def test_masks_have_the_names_and_shapes_of_layers():
    layers = {Q0: nn.Linear(4, 2), Q1: nn.Linear(4, 2)}
    good = masks([1, 0, 0, 0], [0, 0, 0, 0])
    assert fits_the_model(good, layers, all_layers=False).holds
    assert "no mask for" in fits_the_model(good, layers, all_layers=True).seen
    assert "(4, 2)" in fits_the_model({Q0: good[Q0].T}, layers, all_layers=False).seen
    assert "no layer" in fits_the_model({"lm_head": good[Q0]}, layers, all_layers=False).seen


def test_a_matched_region_is_as_large_and_apart():
    of = masks([1, 1, 0, 0], [0, 0, 0, 0])
    assert as_large_and_apart(masks([0, 0, 1, 0], [0, 0, 0, 1]), of).holds
    assert not as_large_and_apart(masks([0, 1, 1, 0], [0, 0, 0, 0]), of).holds
    assert not as_large_and_apart(masks([0, 0, 1, 0], [0, 0, 0, 0]), of).holds
    assert not as_large_and_apart({}, of).holds


def test_the_planted_region_is_that_of_the_file():
    of = masks([1, 1, 0, 0], [0, 0, 0, 0])
    assert as_in_the_file(of, of).holds
    assert as_in_the_file(masks([1, 1, 0, 0], [0, 0, 0, 1]), of).evidence == {"weights_otherwise": 1}
    assert as_in_the_file({}, of).evidence == {"weights_otherwise": 2}


def test_heads_are_rows_of_q_and_columns_of_o():
    query = torch.zeros(4, 4, dtype=torch.bool)
    query[2:] = True
    right = {Q0: query, "model.layers.0.self_attn.o_proj": query.T}
    assert whole_heads(right, 0.5, heads=2, head_size=2).holds
    assert not whole_heads({name: mask.T for name, mask in right.items()}, 0.5, heads=2, head_size=2).holds
    assert not whole_heads(right, 1.0, heads=2, head_size=2).holds
