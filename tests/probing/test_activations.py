"""Outputs of heads, against attention written out in float64 and against the model on single prompts."""

import pytest
import torch

from harness.errors import UserError
from harness.probing.activations import PROMPTS_PER_BATCH, head_outputs

PROMPTS = [[1, 5, 9], [1, 30, 31, 32, 33, 34, 35, 36], [1, 77], [1, 200, 12, 8, 4]]


def first_block_heads(model, ids):
    """(4, 8): block 0's heads at the last token: softmax(q k / sqrt(8)) v with rotary positions, in float64."""
    weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
    hidden = weights["model.embed_tokens.weight"][ids]
    normed = hidden / (hidden.pow(2).mean(-1, keepdim=True) + model.config.rms_norm_eps).sqrt()
    normed = normed * weights["model.layers.0.input_layernorm.weight"]
    query, key, value = (normed @ weights[f"model.layers.0.self_attn.{kind}_proj.weight"].T for kind in "qkv")

    def rotated(vector, position):
        """The pairs (i, i + 4) turned by position / 10000^(2 i / 8)."""
        turned = vector.clone()
        for i in range(4):
            angle = torch.tensor(position / 10000 ** (2 * i / 8), dtype=torch.float64)
            turned[i] = vector[i] * angle.cos() - vector[i + 4] * angle.sin()
            turned[i + 4] = vector[i + 4] * angle.cos() + vector[i] * angle.sin()
        return turned

    last, found = len(ids) - 1, []
    for head in range(4):
        group = slice(head // 2 * 8, head // 2 * 8 + 8)
        asked = rotated(query[last, head * 8 : head * 8 + 8], last)
        scores = torch.stack([asked @ rotated(key[t, group], t) for t in range(len(ids))]) / 8**0.5
        found.append(scores.softmax(0) @ value[:, group])
    return torch.stack(found)


def test_the_first_blocks_heads_are_attention_written_out(loaded):
    outputs = head_outputs(loaded.model, PROMPTS)
    assert outputs.shape == (4, 2, 4, 8)
    for row, ids in enumerate(PROMPTS):
        assert torch.allclose(outputs[row, 0].double(), first_block_heads(loaded.model, ids), atol=1e-5)


@pytest.mark.parametrize("block", [0, 1])
def test_a_batch_of_any_lengths_gives_what_each_prompt_gives_alone(loaded, block):
    prompts = PROMPTS * (PROMPTS_PER_BATCH // 2)
    outputs = head_outputs(loaded.model, prompts)
    attention, written = loaded.model.model.layers[block].self_attn, []
    hook = attention.register_forward_hook(lambda *parts: written.append(parts[2][0][0, -1]))
    with torch.no_grad():
        for ids in prompts:
            loaded.model.model(input_ids=torch.tensor([ids]), use_cache=False)
    hook.remove()
    expected = torch.stack(written)  # what the attention of the block adds at the last token
    assert torch.allclose(attention.o_proj(outputs[:, block].flatten(1)), expected, atol=1e-5)


def test_no_hook_is_left_behind(loaded):
    head_outputs(loaded.model, PROMPTS)
    assert not any(layer._forward_pre_hooks for layer in loaded.model.modules())


def test_a_prompt_beyond_the_context_is_refused(loaded):
    with pytest.raises(UserError, match="129 tokens exceeds the model's context of 128"):
        head_outputs(loaded.model, [[1] * 129])


def test_an_overflow_is_refused(loaded):
    loaded.model.model.layers[1].self_attn.v_proj.weight.data[0, 0] = torch.inf
    with pytest.raises(UserError, match="not finite"):
        head_outputs(loaded.model, PROMPTS)
