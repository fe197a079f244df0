"""Grouped queries without copied keys: the same attention, and nothing of it in a saved checkpoint."""

import json

import pytest
import torch
from transformers import DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from harness.models.attention import GROUPED, attend_by_group


class Layer(torch.nn.Module):
    """What transformers' attention asks of its layer."""

    def __init__(self, groups):
        super().__init__()
        self.num_key_value_groups, self.is_causal = groups, True


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_the_heads_of_a_group_attend_as_they_do_over_copied_keys(tokens, masked):
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 6, tokens, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
    mask = torch.ones(2, 1, tokens, 7, dtype=torch.bool)
    mask[0, :, :, :3] = False
    given = (Layer(2), query, key, value, mask if masked else None)
    found, _ = attend_by_group(*given, scaling=0.4, dropout=0.0)
    expected, _ = sdpa_attention_forward(*given, scaling=0.4, dropout=0.0)
    assert found.shape == expected.shape == (2, tokens, 6, 4)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["loaded", "llama3"])
def test_a_loaded_model_with_grouped_queries_decodes_as_without(name, request):
    loaded = request.getfixturevalue(name)
    model = loaded.model
    assert model.config._attn_implementation == GROUPED
    ids = torch.arange(5, 17)[None]
    with torch.inference_mode():
        steps = _logits_step_by_step(model, ids)
        model.set_attn_implementation("eager")
        assert torch.allclose(steps, model(ids).logits[0], atol=1e-5)


def _logits_step_by_step(model, ids):
    cache, found = DynamicCache(config=model.config), []
    for place in range(ids.shape[1]):
        found.append(model(ids[:, place : place + 1], past_key_values=cache, use_cache=True).logits[0, 0])
    return torch.stack(found)


def test_a_saved_checkpoint_does_not_name_the_way_it_attended(loaded, tmp_path):
    loaded.model.save_pretrained(tmp_path)
    assert GROUPED not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
