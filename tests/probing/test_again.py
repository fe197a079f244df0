import copy

import pytest
import torch

from harness.probing.again import Classes, Probed, drawn_heads, probed
from harness.probing.heads import Head, head_masks
from harness.probing.probe import ProbePrompts, probe_heads
from harness.regions._head_receipts import best_heads


@pytest.fixture
def prompts():
    """Thirty prompts that hold a token which twenty others lack, of several lengths."""
    drawn = torch.Generator().manual_seed(0)

    def some(count, token):
        lengths = torch.randint(3, 9, (count,), generator=drawn).tolist()
        return [[1, *torch.randint(5, 20, (n,), generator=drawn).tolist(), token] for n in lengths]

    return some(30, 3), some(20, 4)


@pytest.mark.parametrize("seed", [0, 3])
def test_heads_that_are_probed_again_are_right_as_often(loaded, prompts, seed):
    accuracy = probe_heads(loaded.model, ProbePrompts(*prompts), seed).accuracy
    for block in range(accuracy.shape[0]):
        heads = [Head(block, head) for head in range(accuracy.shape[1])]
        again = probed(loaded.model, Classes(*prompts, seed), heads)
        assert not any(each.departs(float(accuracy[block, each.head.head])) for each in again)
        assert all(each.unsure <= 2 for each in again)
    assert not loaded.model.model.layers[0].self_attn.o_proj._forward_pre_hooks


def test_which_heads_are_probed_again_depends_on_the_cell(loaded):
    drawn = [tuple(drawn_heads(f"cell {number}", loaded.model)) for number in range(20)]
    assert len(set(drawn)) > 3
    assert drawn[0] == tuple(drawn_heads("cell 0", loaded.model))
    assert all(len(heads) == 2 and heads[0].block == heads[1].block for heads in drawn)


def test_the_best_heads_are_those_of_the_largest_accuracy(loaded):
    accuracy = torch.full((2, 4), 0.5, dtype=torch.float64)
    accuracy[0, 2], accuracy[1, 1] = 1.0, 0.9
    right = head_masks(loaded.model, [Head(0, 2), Head(1, 1)])
    assert best_heads(right, accuracy, []).holds
    assert best_heads(head_masks(loaded.model, [Head(0, 2), Head(1, 1), Head(0, 0)]), accuracy, []).holds  # a tie
    wrong = best_heads(head_masks(loaded.model, [Head(0, 2), Head(1, 0)]), accuracy, [])
    assert not wrong.holds
    assert "1 heads that are none of them" in wrong.seen
    fitted = best_heads(right, accuracy, [Probed(Head(0, 2), 10, 1, 14)])
    assert not fitted.holds
    assert "head 2 of block 1" in fitted.seen


def test_in_sixteen_bits_more_prompts_may_fall_either_way(loaded, prompts):
    half = copy.deepcopy(loaded.model).bfloat16()
    accuracy = probe_heads(half, ProbePrompts(*prompts), 0).accuracy
    again = probed(half, Classes(*prompts, 0), [Head(1, head) for head in range(accuracy.shape[1])])
    assert not any(each.departs(float(accuracy[1, each.head.head])) for each in again)
