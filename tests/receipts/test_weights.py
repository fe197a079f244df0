import json

import pytest
import torch
from safetensors.torch import save_file

from harness.finetuning.checkpoints import Checkpoint
from harness.formulas.subspace import LowRankFactors
from harness.models.editing import SelectedRanks, SelectedWeights, region_removed
from harness.models.layers import linear_layers
from harness.receipts.weights import (
    edited_places,
    expected_weights,
    intact_before,
    own_checkpoints,
    own_measurements,
    saved_checkpoint,
)
from harness.spec.receipt import CheckpointReceipt

LAYER, OTHER = "model.layers.0.mlp.up_proj", "model.layers.1.self_attn.q_proj"


@pytest.fixture
def masked(loaded):
    generator = torch.Generator().manual_seed(3)
    shape = linear_layers(loaded.model)[LAYER].weight.shape
    return SelectedWeights({LAYER: torch.rand(shape, generator=generator) < 0.1})


def low_rank(weight):
    left = torch.linalg.qr(torch.randn(weight.shape[0], 3, generator=torch.Generator().manual_seed(1)))[0]
    return SelectedRanks({LAYER: LowRankFactors(left, left.T.contiguous())})


def test_a_mask_applied_as_it_is_holds(loaded, masked):
    expected = expected_weights(loaded.model, masked)
    with region_removed(loaded.model, masked):
        assert edited_places(expected, loaded.model, masked).holds
    assert not edited_places(expected, loaded.model, masked).holds  # put back: nothing is removed any more


@pytest.mark.parametrize("place", [LAYER, OTHER, "embedding"])
def test_one_other_weight_moved_by_one_bit_is_seen(loaded, masked, place):
    expected = expected_weights(loaded.model, masked)
    with region_removed(loaded.model, masked):
        other = loaded.model.model.embed_tokens if place == "embedding" else linear_layers(loaded.model)[place]
        row, column = (~masked.masks[LAYER]).nonzero()[0].tolist() if place == LAYER else (0, 0)
        value = other.weight.data[row, column].clone()
        other.weight.data[row, column] = torch.nextafter(value, torch.tensor(9.0))
        receipt = edited_places(expected, loaded.model, masked)
        other.weight.data[row, column] = value
    assert not receipt.holds
    assert receipt.evidence["parameters_wrong"] == 1


def test_the_words_say_how_many_selected_weights_are_left(loaded, masked):
    expected = expected_weights(loaded.model, masked)
    selected = int(masked.masks[LAYER].sum())
    receipt = edited_places(expected, loaded.model, masked)
    assert f"the {selected} selected weights at zero" in receipt.words
    assert f"{selected} of the selected weights are not zero" in receipt.words


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ranks_taken_out_hold_within_rounding_and_nothing_else_does(loaded, dtype):
    model = loaded.model.to(dtype)
    weight = linear_layers(model)[LAYER].weight
    region = low_rank(weight)
    expected = expected_weights(model, region)
    with region_removed(model, region):
        receipt = edited_places(expected, model, region)
        assert receipt.holds
        assert 0 < receipt.evidence["largest_deviation_in_roundings"] < 1
        saved = weight.data.clone()
        weight.data[5] *= 1 + 64 * torch.finfo(dtype).eps
        assert not edited_places(expected, model, region).holds
        weight.data.copy_(saved)
    assert not edited_places(expected, model, region).holds
    weight.data[0, 0] = float("nan")
    assert not edited_places(expected, model, region).holds


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_which_rounding_alone_is_left_hold(loaded, dtype):
    """All directions but 4 are taken out, and with them all of some rows: what is left there is noise of the sum."""
    model = loaded.model.to(dtype)
    weight = linear_layers(model)[LAYER].weight
    kept = torch.randn(weight.shape[0], 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kept[:16] = 0
    kept = torch.linalg.qr(kept)[0]
    least = (torch.eye(weight.shape[0], dtype=torch.float64) - kept @ kept.T).contiguous()
    region = SelectedRanks({LAYER: LowRankFactors(least, torch.eye(weight.shape[0], dtype=torch.float64))})
    expected = expected_weights(model, region)
    with region_removed(model, region):
        assert weight[:16].abs().max() < 1e-6
        assert edited_places(expected, model, region).holds
        weight.data[20] *= 1.01 if dtype == torch.float32 else 1.1
        assert not edited_places(expected, model, region).holds


def test_what_is_compared_by_hashes_alone():
    assert intact_before("a", "a").holds
    assert "left behind by something that ran before" in intact_before("a", "b").words
    assert not saved_checkpoint("a", "b").holds
    assert own_measurements({"safety": ("snip scores", "snip scores")}).holds
    assert (
        "saw wanda scores where snip scores were asked for"
        in own_measurements({"utility": ("x", "x"), "safety": ("snip scores", "wanda scores")}).words
    )
    assert not own_measurements({"safety": ("snip scores", None)}).holds


def adapter(folder, loaded, seed, rank=16):
    """A checkpoint of one layer's B and A; and these."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = linear_layers(loaded.model)[LAYER].weight.shape
    b, a = torch.randn(rows, rank, generator=generator), torch.randn(rank, columns, generator=generator)
    folder.mkdir()
    prefix = f"base_model.model.{LAYER}"
    save_file({f"{prefix}.lora_B.weight": b, f"{prefix}.lora_A.weight": a}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": rank, "r": rank}))
    return Checkpoint(3, folder), b, a


def layers_differing(loaded, intact, checkpoint):
    written = CheckpointReceipt(step=checkpoint.step, files_sha256={})
    return own_checkpoints(loaded.model, intact, (checkpoint,), (written,), 3).evidence["layers_differing"]


def test_an_update_whose_terms_were_added_in_another_order_is_the_checkpoints_and_no_other_is(loaded, tmp_path):
    """As a GPU does, whose sums are not the CPU's."""
    own, b, a = adapter(tmp_path / "own", loaded, seed=1)
    other, *_ = adapter(tmp_path / "other", loaded, seed=2)
    weight = linear_layers(loaded.model)[LAYER].weight
    weight.data[0] = 0  # a weight near which no rounding of the sum hides that of the product
    intact = {f"{name}.weight": layer.weight.detach().clone() for name, layer in linear_layers(loaded.model).items()}
    backwards = torch.zeros_like(weight)
    for term in reversed(range(b.shape[1])):
        backwards += torch.outer(b[:, term], a[term])
    assert not torch.equal(backwards, own.update(LAYER, intact[f"{LAYER}.weight"]))
    weight.data += backwards
    assert layers_differing(loaded, intact, own) == 0
    assert layers_differing(loaded, intact, other) == 1
    weight.data[0, 0] += 1e-3
    assert layers_differing(loaded, intact, own) == 1
