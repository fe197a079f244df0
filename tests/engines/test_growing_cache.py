"""The engine's cache beside the one that transformers makes, token by token and row by row."""

import pytest
import torch
from transformers import DynamicCache

from harness.engines._growing_cache import growing_cache

PROMPTS = torch.tensor([[5, 8, 11, 14], [6, 9, 12, 15], [7, 10, 13, 16]])


@pytest.fixture
def both(loaded):
    config = loaded.model.config
    return DynamicCache(config=config), growing_cache(config, 8)


@torch.inference_mode()
def logits(loaded, ids, cache):
    return loaded.model(input_ids=ids, past_key_values=cache, use_cache=True).logits[:, -1]


def test_logits_are_those_with_the_cache_of_transformers(loaded, both):
    for ids in (PROMPTS, PROMPTS[:, :1], PROMPTS[:, 1:2]):
        theirs, ours = (logits(loaded, ids, cache) for cache in both)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert [cache.get_seq_length() for cache in both] == [6, 6]


def test_rows_that_are_kept_go_on_as_they_were(loaded, both):
    kept = torch.tensor([2, 0])
    for cache in both:
        logits(loaded, PROMPTS, cache)
        cache.batch_select_indices(kept)
    theirs, ours = (logits(loaded, PROMPTS[kept, :1], cache) for cache in both)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_memory_is_taken_once_and_what_does_not_fit_is_an_error(loaded):
    cache = growing_cache(loaded.model.config, 5)
    logits(loaded, PROMPTS, cache)
    place = cache.layers[0].keys.data_ptr()
    logits(loaded, PROMPTS[:, :1], cache)
    assert cache.layers[0].keys.data_ptr() == place
    with pytest.raises(IndexError, match="6 tokens in a cache of 5"):
        logits(loaded, PROMPTS[:, :1], cache)
