import pytest
import torch

from harness.errors import UserError
from harness.formulas.subspace import LowRankFactors
from harness.models.editing import SelectedRanks, SelectedWeights, compare_with_truth, region_removed, rows_shuffled
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
    with region_removed(model, SelectedWeights(masks)):
        for name, layer in linear_layers(model).items():
            assert (layer.weight[masks[name]] == 0).all()
            assert torch.equal(layer.weight[~masks[name]], before[name][~masks[name]])
    assert weights_fingerprint(model) == fingerprint


def test_the_receipt_counts_what_was_removed(loaded, masks):
    with region_removed(loaded.model, SelectedWeights(masks)) as edit:
        pass
    receipt = edit.receipt
    assert receipt.weights_selected == sum(int(mask.sum()) for mask in masks.values())
    assert receipt.sparsity == receipt.weights_selected / receipt.weights_total
    assert receipt.fingerprint_before == receipt.fingerprint_restored != receipt.fingerprint_edited


def test_an_edit_is_undone_when_the_evaluation_fails(loaded, masks):
    fingerprint = weights_fingerprint(loaded.model)
    with pytest.raises(RuntimeError, match="engine"), region_removed(loaded.model, SelectedWeights(masks)):
        raise RuntimeError("the engine died")
    assert weights_fingerprint(loaded.model) == fingerprint


def low_rank(model, rank):
    """Projectors on `rank` random directions of every layer."""
    generator = torch.Generator().manual_seed(2)
    factors = {}
    for name, layer in linear_layers(model).items():
        random = torch.randn(layer.out_features, rank, generator=generator, dtype=torch.float64)
        basis = torch.linalg.qr(random).Q
        factors[name] = LowRankFactors(basis, basis.mT)
    return factors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_low_rank_edit_is_rounded_once_and_undone_bitwise(loaded, dtype):
    model = loaded.model.to(dtype)
    linear_layers(model)["model.layers.0.mlp.up_proj"].weight.data[0, 0] = -0.0
    before = {name: layer.weight.clone() for name, layer in linear_layers(model).items()}
    fingerprint = weights_fingerprint(model)
    factors = low_rank(model, 3)
    with region_removed(model, SelectedRanks(factors)) as edit:
        for name, layer in linear_layers(model).items():
            exact = before[name].double()
            wanted = exact - factors[name].left @ (factors[name].right @ exact)
            # Half a unit in the last place of the result, and float32's error of ΔW under 16-bit weights.
            allowed = torch.finfo(dtype).eps / 2 * 1.001 * wanted.abs() + (0 if dtype == torch.float32 else 1e-6)
            assert layer.weight.dtype == dtype
            assert ((layer.weight.double() - wanted).abs() <= allowed).all()
    assert weights_fingerprint(model) == fingerprint == edit.receipt.fingerprint_restored
    assert edit.receipt.fingerprint_edited != fingerprint


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_receipt_of_ranks_holds_the_measured_rank_of_every_layer(loaded, dtype):
    model = loaded.model.to(dtype)
    with region_removed(model, SelectedRanks(low_rank(model, 2))) as edit:
        pass
    assert edit.receipt.rank_by_layer == dict.fromkeys(linear_layers(model), 2)
    assert edit.receipt.rank_share == 2 / 16  # of k and v, 16 x 32
    assert (edit.receipt.sparsity, edit.receipt.mask_sha256, edit.receipt.weights_selected) == (None, None, None)


def test_factors_that_change_nothing_have_rank_0(loaded):
    factors = {"model.layers.0.mlp.up_proj": LowRankFactors(torch.zeros(48, 2), torch.zeros(2, 48))}
    with region_removed(loaded.model, SelectedRanks(factors)) as edit:
        pass
    assert edit.receipt.rank_by_layer == {"model.layers.0.mlp.up_proj": 0}
    assert edit.receipt.rank_share == 0.0


def test_a_low_rank_edit_is_undone_when_the_evaluation_fails(loaded):
    fingerprint = weights_fingerprint(loaded.model)
    edit = region_removed(loaded.model, SelectedRanks(low_rank(loaded.model, 1)))
    with pytest.raises(RuntimeError, match="engine"), edit:
        raise RuntimeError("the engine died")
    assert weights_fingerprint(loaded.model) == fingerprint


def test_precision_and_recall_against_the_truth():
    masks = {"a": torch.tensor([[True, True, False, False]])}
    planted = {"a": torch.tensor([[True, False, False, False]]), "b": torch.tensor([[True]])}
    whole, by_layer = compare_with_truth(masks, planted)
    assert (whole.precision, whole.recall) == (0.5, 0.5)
    assert (by_layer["a"].recall, by_layer["b"].recall, by_layer["b"].precision) == (1.0, 0.0, None)


def test_a_region_without_weights_is_refused_and_leaves_the_model_intact(loaded):
    fingerprint = weights_fingerprint(loaded.model)
    nothing = {name: torch.zeros_like(x.weight, dtype=torch.bool) for name, x in linear_layers(loaded.model).items()}
    with pytest.raises(UserError, match="holds no weight"), region_removed(loaded.model, SelectedWeights(nothing)):
        pass
    assert weights_fingerprint(loaded.model) == fingerprint


def test_shuffled_rows_are_the_same_weights_in_another_order_and_come_back_in_every_bit(loaded):
    before = weights_fingerprint(loaded.model)
    layer = next(iter(linear_layers(loaded.model).values()))
    rows = layer.weight.clone()
    with rows_shuffled(loaded.model, seed=3):
        assert weights_fingerprint(loaded.model) != before
        assert not torch.equal(layer.weight, rows)
        assert sorted(layer.weight.tolist()) == sorted(rows.tolist())  # whole rows, each once
    assert weights_fingerprint(loaded.model) == before
