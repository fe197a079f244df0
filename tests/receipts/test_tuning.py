"""A fine-tuning's weights against A, B, W₀ and M computed anew; what the trainer did otherwise breaks a receipt."""

import copy

import pytest
import torch

from harness.calibration.pairs import read_pairs, tokenise
from harness.faults.seam import replaced
from harness.finetuning.fine_tuning import fine_tune
from harness.models.layers import linear_layers
from harness.receipts.tuning import Tuned, first_response_logits, tuning_receipts
from harness.spec.finetuning import FineTuningSettings

METHODS = {"full": {"method": "full"}, "lora": {"method": "lora", "lora": {"r": 4, "alpha": 8}}}
TRAINER = {"full": "harness.finetuning.full:FullTraining", "lora": "harness.finetuning.lora:LoraTraining"}


@pytest.fixture
def samples(loaded, pairs_csv):
    return tokenise(read_pairs(pairs_csv), loaded.tokenizer, 128)


@pytest.fixture
def masks(loaded):
    generator = torch.Generator().manual_seed(3)
    return {n: torch.rand(x.weight.shape, generator=generator) < 0.1 for n, x in linear_layers(loaded.model).items()}


def receipts(model, samples, masks, method, dtype=torch.float32, **changes):
    """Receipts by name of a fine-tuning as runs/fine_tuned.py does it."""
    model = copy.deepcopy(model).to(dtype)
    settings = FineTuningSettings.model_validate(
        {
            "dataset": "d",
            "examples": 6,
            "epochs": 2,
            "batch_size": 2,
            "learning_rate": 1e-2,
            "weight_decay": 0.1,
            **METHODS[method],
            **changes,
        }
    )
    intact = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    before, learned = first_response_logits(model, samples[0]), []
    fine_tune(
        model,
        samples[: settings.examples],
        settings,
        masks,
        lambda share: None,
        trained=lambda files: learned.append(copy.deepcopy(files)),
    )
    after = first_response_logits(model, samples[0])
    files = learned[0] if learned else None
    return {r.name: r for r in tuning_receipts(model, Tuned(settings, intact, masks, files, before, after))}


def broken(found):
    return sorted(name for name, receipt in found.items() if not receipt.holds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", [1e-2, 1e-6])
def test_a_fine_tuning_that_does_what_it_says_holds_all(loaded, samples, masks, method, dtype, rate):
    found = receipts(loaded.model, samples, masks, method, dtype, learning_rate=rate)
    assert set(found) == {"tuned-update", "frozen-set", "frozen-rows", "tuned-logits"}
    assert broken(found) == []
    bare = receipts(loaded.model, samples, {}, method, dtype, learning_rate=rate)
    assert set(bare) == {"tuned-update", "tuned-logits"}
    assert broken(bare) == []


def test_no_step_leaves_nothing_to_check(loaded, samples, masks):
    assert receipts(loaded.model, samples, masks, "lora", examples=0) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_update_that_is_lost_at_the_merge_is_told(loaded, samples, masks, dtype):
    with replaced("harness.finetuning.lora:LoraTraining.merge", lambda right: lambda self: None):
        found = receipts(loaded.model, samples, masks, "lora", dtype)
    assert broken(found) == ["frozen-set", "tuned-logits", "tuned-update"]
    assert found["tuned-update"].evidence["lost"] > 0.5 * found["tuned-update"].evidence["weights"]


def test_an_update_that_is_merged_with_another_scale_is_told(loaded, samples, masks):
    def make_wrong(right):
        return lambda self: right(self) * 1.001

    with replaced("harness.finetuning.lora:MaskedLoraLinear.masked_update", make_wrong):
        # Training saw the wrong scale as well, so that the trainer agrees with itself.
        assert broken(receipts(loaded.model, samples, masks, "lora")) == ["tuned-update"]


def with_masks(method, change):
    """The trainer freezes other weights than it was told to."""

    def make_wrong(right):
        return lambda self, model, settings, masks: right(self, model, settings, change(masks))

    return replaced(f"{TRAINER[method]}.__init__", make_wrong)


@pytest.mark.parametrize("method", METHODS)
def test_whole_rows_frozen_for_one_weight_are_told(loaded, samples, masks, method):
    with with_masks(method, lambda m: {n: x.any(dim=1, keepdim=True).expand_as(x).clone() for n, x in m.items()}):
        found = receipts(loaded.model, samples, masks, method)
    assert "frozen-rows" in broken(found)
    assert found["frozen-rows"].evidence["trained"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_the_last_layers_mask_on_every_layer_is_told(loaded, samples, masks, method):
    def of_the_last(given):
        last = {mask.shape: mask for mask in given.values()}
        return {name: last[mask.shape] for name, mask in given.items()}

    with with_masks(method, of_the_last):
        found = receipts(loaded.model, samples, masks, method)
    assert "frozen-set" in broken(found)
    assert found["frozen-set"].evidence["frozen_moved"] > 0


def test_the_merged_weight_is_w0_plus_the_free_part_of_the_scaled_product_by_hand(loaded):
    """B = (1, 2)ᵀ, A = (10, 20), s = 2: the update is (20, 40; 40, 80) with the entry (0, 1) frozen."""
    from harness.finetuning.training import KEY_PREFIX, TrainedFiles

    name, layer = next(iter(linear_layers(loaded.model).items()))
    intact = {f"{name}.weight": layer.weight.detach().clone()}
    b, a = torch.zeros(layer.weight.shape[0], 1), torch.zeros(1, layer.weight.shape[1])
    b[:2, 0], a[0, :2] = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    mask = torch.zeros(layer.weight.shape, dtype=torch.bool)
    mask[0, 1] = True
    files = TrainedFiles("f", {f"{KEY_PREFIX}.{name}.lora_A.weight": a, f"{KEY_PREFIX}.{name}.lora_B.weight": b})
    settings = FineTuningSettings.model_validate(
        {"method": "lora", "lora": {"r": 1, "alpha": 2}, "dataset": "d", "examples": 1}
    )

    def found():
        tuned = Tuned(settings, intact, {name: mask}, files, torch.zeros(2), torch.ones(2))
        return broken({receipt.name: receipt for receipt in tuning_receipts(loaded.model, tuned)})

    weight = layer.weight.data
    weight[:2, :2] += torch.tensor([[20.0, 0.0], [40.0, 80.0]])
    assert "tuned-update" not in found() and "frozen-set" not in found()
    weight[0, 1] += 40.0
    assert {"frozen-set", "tuned-update"} <= set(found())
    weight[0, 1] = intact[f"{name}.weight"][0, 1]
    weight[5, 5] += 1e-3
    assert "tuned-update" in found() and "frozen-set" not in found()


@pytest.mark.parametrize("number", [0, 1, 5, -1])
def test_an_update_that_is_merged_twice_in_one_layer_is_told_whichever_it_is(loaded, samples, masks, number):
    def make_wrong(right):
        def merge(self):
            right(self)
            layer = list(self._layers.values())[number]
            with torch.no_grad():
                layer.weight.add_(layer.masked_update())

        return merge

    with replaced("harness.finetuning.lora:LoraTraining.merge", make_wrong):
        assert broken(receipts(loaded.model, samples, masks, "lora")) == ["tuned-update"]


def test_of_layers_that_are_not_computed_as_a_whole_some_rows_are(loaded, samples, masks, monkeypatch):
    monkeypatch.setattr("harness.receipts.tuning.WHOLE_LAYERS", 1)
    monkeypatch.setattr("harness.receipts.tuning.ROWS", 4)
    found = receipts(loaded.model, samples, masks, "lora")
    assert broken(found) == []
    (share,) = found["tuned-update"].looked_at
    assert 0 < share.seen < share.of == sum(x.weight.numel() for x in linear_layers(loaded.model).values())
