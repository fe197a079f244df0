"""Which weights a head is: shown on the outputs of heads, with and without them."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.errors import UserError
from harness.models.editing import SelectedWeights, region_removed
from harness.probing.heads import Head, head_layout, head_masks, top_heads

IDS = torch.tensor([[1, 7, 100, 42, 9, 250]])


def seen_by_o_proj(model, block):
    """(T, heads, head size): what the heads of a block hand to o_proj; and what the block's attention writes (T, d)."""
    attention = model.model.layers[block].self_attn
    seen = {}
    hooks = [
        attention.o_proj.register_forward_pre_hook(lambda _, inputs: seen.update(heads=inputs[0][0])),
        attention.o_proj.register_forward_hook(lambda *parts: seen.update(written=parts[2][0])),
    ]
    with torch.no_grad():
        model.model(input_ids=IDS, use_cache=False)
    for hook in hooks:
        hook.remove()
    return seen["heads"].unflatten(1, (-1, attention.head_dim)), seen["written"]


def contribution(model, block, head, heads):
    """(T, d): what one head adds to the residual stream, by its own columns of o_proj."""
    size = heads.shape[2]
    columns = model.model.layers[block].self_attn.o_proj.weight[:, head * size : (head + 1) * size]
    return heads[:, head] @ columns.T


def random_llama(**options):
    torch.manual_seed(0)
    config = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "initializer_range": 0.3,
        **options,
    }
    return LlamaForCausalLM(LlamaConfig(**config)).eval().requires_grad_(False)


@pytest.mark.parametrize("removed", [{0}, {3}, {0, 1}, {1, 2}, {0, 1, 3}, {0, 1, 2, 3}])
@pytest.mark.parametrize("block", [0, 1])
def test_a_removed_head_writes_nothing_and_no_other_head_changes_in_one_bit(loaded, block, removed):
    model = loaded.model  # 4 query heads on 2 key/value heads
    before, _ = seen_by_o_proj(model, block)
    with region_removed(model, SelectedWeights(head_masks(model, [Head(block, head) for head in removed]))):
        after, written = seen_by_o_proj(model, block)
        for head in range(4):
            if head in removed:
                assert (contribution(model, block, head, after) == 0).all()
            else:
                assert torch.equal(after[:, head], before[:, head])
        rest = sum((contribution(model, block, head, after) for head in set(range(4)) - removed), torch.zeros(6, 32))
        assert torch.allclose(written, rest, atol=1e-5)
    for first in (0, 2):  # a group that is gone altogether hands on exact zeros
        if {first, first + 1} <= removed:
            assert (after[:, first : first + 2] == 0).all()
            assert (before[:, first : first + 2] != 0).any()


def test_key_and_value_rows_go_with_the_last_head_of_their_group(loaded):
    def rows(heads, kind):
        mask = head_masks(loaded.model, [Head(1, head) for head in heads])[f"model.layers.1.self_attn.{kind}_proj"]
        assert torch.equal(mask, mask[:, :1].expand_as(mask))
        return mask[:, 0].nonzero()[:, 0].tolist()

    assert rows([2], "q") == list(range(16, 24))
    for kind in "kv":
        assert rows([2], kind) == rows([1, 2], kind) == []
        assert rows([2, 3], kind) == list(range(8, 16))
        assert rows([0, 1, 2], kind) == list(range(0, 8))


def test_key_and_value_rows_taken_too_early_would_change_the_other_head_of_the_group(loaded):
    model = loaded.model
    before, _ = seen_by_o_proj(model, 0)
    masks = head_masks(model, [Head(0, 0)])
    for kind in "kv":
        masks[f"model.layers.0.self_attn.{kind}_proj"][:8] = True
    with region_removed(model, SelectedWeights(masks)):
        after, _ = seen_by_o_proj(model, 0)
    assert not torch.allclose(after[:, 1], before[:, 1])


def test_the_published_axes_leave_the_head_speaking_and_change_the_others():
    """lib/prune.py:2112-2123: columns of q, k and v, rows of o."""
    model = random_llama()
    before, _ = seen_by_o_proj(model, 0)
    right = head_masks(model, [Head(0, 1)])
    with region_removed(model, SelectedWeights(right)):
        after, _ = seen_by_o_proj(model, 0)
        assert (after[:, 1] == 0).all()
        assert torch.equal(after[:, [0, 2, 3]], before[:, [0, 2, 3]])
    with region_removed(model, SelectedWeights({name: mask.T.contiguous() for name, mask in right.items()})):
        after, _ = seen_by_o_proj(model, 0)
        assert (contribution(model, 0, 1, after).abs() > 1e-3).any()
        assert all(not torch.allclose(after[:, head], before[:, head]) for head in range(4))


def test_only_blocks_with_a_removed_head_are_touched(loaded):
    masks = head_masks(loaded.model, [Head(1, 0)])
    assert set(masks) == {f"model.layers.1.self_attn.{kind}_proj" for kind in "qkvo"}
    assert [int(mask.sum()) for mask in masks.values()] == [8 * 32, 0, 0, 32 * 8]


def test_the_head_size_is_the_configs_and_not_a_quotient():
    model = random_llama(head_dim=12)
    assert head_layout(model).head_size == 12
    masks = head_masks(model, [Head(0, 1)])
    assert masks["model.layers.0.self_attn.q_proj"][:, 0].nonzero()[:, 0].tolist() == list(range(12, 24))
    assert masks["model.layers.0.self_attn.o_proj"][0].nonzero()[:, 0].tolist() == list(range(12, 24))
    model.config.head_dim = None
    with pytest.raises(UserError, match="q_proj has 48 rows, 4 heads of size 8 are in the config"):
        head_layout(model)


def test_heads_that_tie_are_taken_by_depth_and_then_by_place():
    accuracy = torch.tensor([[0.5, 0.9, 0.8], [0.9, 0.8, 0.9]], dtype=torch.float64)
    assert top_heads(accuracy, 5) == [(0, 1), (1, 0), (1, 2), (0, 2), (1, 1)]


@pytest.mark.parametrize("count", [0, 7])
def test_a_count_of_heads_that_cannot_be_had_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} heads were asked for, there are 6"):
        top_heads(torch.zeros(2, 3), count)


@pytest.mark.parametrize("head", [Head(2, 0), Head(0, 4), Head(0, -1)])
def test_a_head_that_the_model_lacks_is_refused(loaded, head):
    with pytest.raises(ValueError, match="2 blocks of 4 heads"):
        head_masks(loaded.model, [head])
