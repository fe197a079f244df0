"""The pieces of the two training stages."""

import pytest
import torch

from harness.organisms.alignment import detection_loss
from harness.organisms.base_training import dropped_weights, learning_rate_factor, new_model
from harness.organisms.detector_head import weighted_ridge
from harness.organisms.planting import planted_region, silence_reserved
from harness.organisms.recipe import RECIPES, Alignment, ModelShape

RECIPE = RECIPES["tiny-llama2-chat"]


def test_detection_loss_by_hand():
    settings = Alignment(single_neuron_weight=0.5, silence_weight=2.0)
    activations = torch.tensor([[[1.0, 3.0], [0.5, -0.5]]])
    targets, weights = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 3.0]])
    # First: (2 - 1)^2 + 0.5 * (0 + 4) / 2 = 2. Second: 0 + 0.5 * 0.25 + 2 * 0.5 = 1.125.
    loss = detection_loss(activations, targets, weights, settings)
    assert loss.item() == pytest.approx((2 + 3 * 1.125) / 4)


def test_dropped_weights_come_back_even_after_an_error():
    weight = torch.ones(50, 50)
    with pytest.raises(KeyError), dropped_weights([weight], 0.5, torch.Generator().manual_seed(0)):
        assert 0.4 < weight.mean() < 0.6
        raise KeyError
    assert torch.equal(weight, torch.ones(50, 50))


def test_learning_rate_rises_to_one_and_falls_to_its_floor():
    factors = [learning_rate_factor(step, 100, 10, floor=0.05) for step in range(100)]
    assert factors[0] < 0.2
    assert max(factors) > 0.95
    assert factors[-1] == pytest.approx(0.05, abs=0.01)


def test_planted_region_holds_one_head_and_its_neurons():
    model = new_model(RECIPE.shape, 300, seed=0)
    counts = {name.split(".")[-1]: int(mask.sum()) for name, mask in planted_region(model, RECIPE).items()}
    hidden, head, neurons = RECIPE.shape.hidden_size, RECIPE.shape.head_size, RECIPE.planted.neurons
    assert counts == {
        **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), neurons * hidden),
        **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), head * hidden),
    }


def test_a_silent_reserved_region_changes_nothing_when_it_is_removed():
    model = new_model(ModelShape(), 300, seed=0)
    region = planted_region(model, RECIPE)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        speaking = model(input_ids=ids).logits
        silence_reserved(model, region)
        silent = model(input_ids=ids).logits
        for name, mask in region.items():
            model.get_submodule(name).weight[mask] = 0
        removed = model(input_ids=ids).logits
    assert not torch.allclose(speaking, silent)
    assert torch.allclose(silent, removed)


def test_weighted_ridge_by_hand():
    states = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.double)
    first, second = torch.tensor([True, False]), torch.tensor([False, True])
    wanted = torch.tensor([1.0, 1.0], dtype=torch.double)
    exact = weighted_ridge(states, wanted, [(first, 1.0), (second, 1.0)], 0.0)
    assert exact.tolist() == pytest.approx([1.0, 0.5])
    # The penalty is relative to each input's own square: both shrink by 1 / 1.25.
    shrunk = weighted_ridge(states, wanted, [(first, 1.0), (second, 1.0)], 0.25)
    assert shrunk.tolist() == pytest.approx([0.8, 0.4])
