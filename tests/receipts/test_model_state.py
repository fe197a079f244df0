"""What hangs on a model is told, and what is not put back, by its name."""

import pytest
import torch

from harness.receipts.state import ModelState, at_rest, left_as_found


def test_a_loaded_model_is_at_rest_and_left_as_found(loaded):
    state = ModelState.of(loaded.model)
    assert at_rest(state).holds
    assert left_as_found(state, ModelState.of(loaded.model)).holds


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.model.norm.register_forward_hook(lambda *_: None), "a hook on model.norm"),
        (lambda m: m.model.layers[0].register_forward_pre_hook(lambda *_: None), "a hook on model.layers.0"),
        (lambda m: m.model.layers[1].mlp.train(), "training mode in model.layers.1.mlp"),
        (lambda m: m.lm_head.weight.requires_grad_(True), "gradients of lm_head.weight"),
        (lambda m: setattr(m.lm_head, "forward", lambda x: x), "another forward on lm_head"),
    ],
)
def test_what_hangs_on_a_model_is_named(loaded, change, words):
    before = ModelState.of(loaded.model)
    change(loaded.model)
    after = ModelState.of(loaded.model)
    assert words in at_rest(after).words
    assert f"{words} is left" in left_as_found(before, after).words


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.norm.weight", lambda m: m.model.norm.weight.data.mul_(1.01)),
        ("model.layers.1.mlp.up_proj.weight", lambda m: m.model.layers[1].mlp.up_proj.weight.data.view(-1)[7:8].neg_()),
        ("model.rotary_emb.inv_freq", lambda m: m.model.rotary_emb.inv_freq[0].mul_(2)),
    ],
)
def test_one_number_that_is_not_put_back_is_named_by_its_tensor(loaded, name, change):
    before = ModelState.of(loaded.model)
    change(loaded.model)
    assert f"{name} is not put back" in left_as_found(before, ModelState.of(loaded.model)).words


def test_a_module_that_was_exchanged_is_told(loaded):
    before = ModelState.of(loaded.model)
    loaded.model.lm_head = torch.nn.Sequential(loaded.model.lm_head)
    assert (
        "lm_head is torch.nn.modules.container.Sequential" in left_as_found(before, ModelState.of(loaded.model)).words
    )


def test_hooks_of_the_library_for_states_that_are_asked_for_hang_on_nothing(loaded):
    with torch.no_grad():
        loaded.model(input_ids=torch.tensor([[1, 5]]), output_hidden_states=True)
    assert at_rest(ModelState.of(loaded.model)).holds
