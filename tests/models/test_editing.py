import pytest
import torch

from harness.models.editing import compare_with_truth, weights_removed
from harness.models.fingerprint import weights_fingerprint
from harness.models.layers import linear_layers


@pytest.fixture
def masks(loaded):
    generator = torch.Generator().manual_seed(1)
    return {n: torch.rand(x.weight.shape, generator=generator) < 0.1 for n, x in linear_layers(loaded.model).items()}


def test_an_edit_zeroes_exactly_the_mask_and_is_undone_bitwise(loaded, masks):
    model = loaded.model
    linear_layers(model)["model.layers.0.mlp.up_proj"].weight.data[0, 0] = -0.0  # a sign that == cannot see
    before = {name: layer.weight.clone() for name, layer in linear_layers(model).items()}
    fingerprint = weights_fingerprint(model)
    with weights_removed(model, masks):
        for name, layer in linear_layers(model).items():
            assert (layer.weight[masks[name]] == 0).all()
            assert torch.equal(layer.weight[~masks[name]], before[name][~masks[name]])
    assert weights_fingerprint(model) == fingerprint


def test_the_receipt_counts_what_was_removed(loaded, masks):
    with weights_removed(loaded.model, masks) as edit:
        pass
    receipt = edit.receipt
    assert receipt.weights_selected == sum(int(mask.sum()) for mask in masks.values())
    assert receipt.sparsity == receipt.weights_selected / receipt.weights_total
    assert receipt.fingerprint_before == receipt.fingerprint_restored != receipt.fingerprint_edited


def test_an_edit_is_undone_when_the_evaluation_fails(loaded, masks):
    fingerprint = weights_fingerprint(loaded.model)
    with pytest.raises(RuntimeError, match="engine"), weights_removed(loaded.model, masks):
        raise RuntimeError("the engine died")
    assert weights_fingerprint(loaded.model) == fingerprint


def test_precision_and_recall_against_the_truth():
    masks = {"a": torch.tensor([[True, True, False, False]])}
    planted = {"a": torch.tensor([[True, False, False, False]]), "b": torch.tensor([[True]])}
    whole, by_layer = compare_with_truth(masks, planted)
    assert (whole.precision, whole.recall) == (0.5, 0.5)
    assert (by_layer["a"].recall, by_layer["b"].recall, by_layer["b"].precision) == (1.0, 0.0, None)
