"""Frozen to the bit, moved where it may, the same for a seed; against equations worked out apart."""

import copy

import pytest
import torch
from torch import nn

from harness.calibration.pairs import pad, read_pairs, tokenise
from harness.errors import UserError
from harness.finetuning.fine_tuning import fine_tune
from harness.finetuning.full import FullTraining
from harness.finetuning.lora import LoraTraining, MaskedLoraLinear
from harness.finetuning.training import response_loss
from harness.models.editing import all_weights_restored
from harness.models.fingerprint import model_fingerprint
from harness.models.layers import linear_layers
from harness.spec.finetuning import FineTuningSettings

FULL = {"method": "full"}
LORA = {"method": "lora", "lora": {"r": 4, "alpha": 8}}
Q0, UP1 = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj"


def settings(**changes):
    base = {
        "method": "full",
        "dataset": "d",
        "examples": 6,
        "epochs": 2,
        "batch_size": 2,
        "learning_rate": 1e-2,
        "weight_decay": 0.5,
    }
    return FineTuningSettings.model_validate({**base, **changes})


@pytest.fixture
def samples(loaded, pairs_csv):
    return tokenise(read_pairs(pairs_csv), loaded.tokenizer, 128)


@pytest.fixture
def masks(loaded):
    """A mask of its own for every layer, half of the weights, and a weight of each that is −0."""
    generator = torch.Generator().manual_seed(3)
    found = {}
    for name, layer in linear_layers(loaded.model).items():
        found[name] = torch.rand(layer.weight.shape, generator=generator) < 0.5
        layer.weight.data[0, 0] = -0.0
        found[name][0, 0] = True
    return found


def tuned(model, samples, chosen, masks=None):
    return fine_tune(model, samples, chosen, masks, lambda share: None)


def bits(tensor):
    return tensor.detach().clone().view({4: torch.int32, 2: torch.int16}[tensor.element_size()])


def bits_of(model):
    return {name: bits(parameter) for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", [FULL, LORA])
def test_frozen_entries_keep_every_bit_and_the_others_move(loaded, samples, masks, method, dtype):
    model = loaded.model.to(dtype)
    before = bits_of(model)
    receipt = tuned(model, samples, settings(**method), masks)
    after = bits_of(model)
    free_moved = free = 0
    for name, mask in masks.items():
        changed = after[f"{name}.weight"] != before[f"{name}.weight"]
        assert not changed[mask].any()
        free_moved += int(changed[~mask].sum())
        free += int((~mask).sum())
    frozen = sum(int(mask.sum()) for mask in masks.values())
    assert free_moved / free > 0.9
    assert (receipt.frozen_checked, receipt.frozen_changed) == (frozen, 0)
    assert receipt.frozen_share_of_linear == pytest.approx(frozen / (frozen + free))
    assert receipt.frozen_share_of_all == frozen / sum(values.numel() for values in before.values())
    assert receipt.steps == 6
    assert receipt.fingerprint_before != receipt.fingerprint_after == model_fingerprint(model)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())


def test_full_training_moves_embeddings_norms_and_head_unless_told_otherwise(loaded, samples):
    outside = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
    for chosen, moves in ((settings(parameters="linear_layers"), False), (settings(), True)):
        model = copy.deepcopy(loaded.model)
        before = bits_of(model)
        tuned(model, samples, chosen)
        after = bits_of(model)
        assert [bool((after[name] != before[name]).any()) for name in outside] == [moves] * 3
        assert (after[f"{Q0}.weight"] != before[f"{Q0}.weight"]).any()


def test_a_masked_step_is_adamw_on_the_entries_that_are_free(loaded, samples, masks):
    """One step against AdamW's equations in float64: m̂/(√v̂ + ε) is the gradient's sign, plus λw."""
    model, chosen = loaded.model, settings(epochs=1, batch_size=6, weight_decay=0.1, learning_rate=1e-3)
    other = copy.deepcopy(model).requires_grad_(True)
    tokens = sum(int((sample.labels != -100).sum()) for sample in samples)
    for sample in samples:
        logits = other(input_ids=sample.input_ids[None]).logits[0, :-1]
        loss = nn.functional.cross_entropy(logits, sample.labels[1:], ignore_index=-100, reduction="sum")
        (loss / tokens).backward()
    expected = {}
    for name, layer in linear_layers(other).items():
        weight, gradient = layer.weight.detach().double(), layer.weight.grad.double()
        step = 1e-3 * (gradient / (gradient.abs() + 1e-8) + 0.1 * weight)
        expected[name] = torch.where(masks[name], weight, weight - step)
    tuned(model, samples, chosen, masks)
    for name, layer in linear_layers(model).items():
        close = torch.isclose(layer.weight.double(), expected[name], rtol=1e-4, atol=2e-5)
        assert close.float().mean() > 0.999  # where a gradient is near 0 its sign is undecided


def test_accumulated_batches_are_one_batch(loaded, samples):
    one, two = copy.deepcopy(loaded.model), loaded.model
    tuned(one, samples, settings(batch_size=6, learning_rate=1e-3))
    tuned(two, samples, settings(batch_size=2, gradient_accumulation=3, learning_rate=1e-3))
    assert torch.allclose(one.lm_head.weight, two.lm_head.weight, atol=1e-5)


def with_random_adapters(model, masks):
    """LoRA in training, with B drawn at random, as it is after some steps."""
    training = LoraTraining(model, settings(**LORA), masks)
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, MaskedLoraLinear):
            module.lora_B["default"].weight.data.normal_(generator=generator)
    return training


def test_effective_weights_are_the_masked_sum_in_training_and_after_the_merge(loaded, samples, masks):
    """W₀ + (1 − M) ∘ (s·BA) by hand for each layer with its own M: rows are never frozen whole, and no
    layer uses another's mask, as in the reproduction's code."""
    model = loaded.model
    by_hand = copy.deepcopy(model)
    training = with_random_adapters(model, masks)
    for name, layer in linear_layers(by_hand).items():
        adapted = model.get_submodule(name)
        product = adapted.lora_B["default"].weight.double() @ adapted.lora_A["default"].weight.double()
        layer.weight.data = (layer.weight.double() + (~masks[name]) * (8 / 4) * product).float()
    ids = samples[-1].input_ids[None]
    expected = by_hand(input_ids=ids).logits
    assert torch.allclose(model(input_ids=ids).logits, expected, atol=1e-3)
    training.merge()
    training.close()
    for name, layer in linear_layers(model).items():
        assert torch.allclose(layer.weight, linear_layers(by_hand)[name].weight, atol=1e-6)
    assert torch.allclose(model(input_ids=ids).logits, expected, atol=1e-3)


def test_lora_gradients_are_those_of_the_masked_update(loaded, samples, masks):
    """dL/dB = s·((dL/dW) ∘ (1 − M)) Aᵀ, with dL/dW from a plain model that holds the effective weights."""
    model = loaded.model
    plain = copy.deepcopy(model)
    training = with_random_adapters(model, masks)
    for name, layer in linear_layers(plain).items():
        layer.weight.data = layer.weight.data + model.get_submodule(name).masked_update().detach()
    labels = samples[-1].input_ids[None]
    model(input_ids=labels, labels=labels).loss.backward()
    plain.requires_grad_(True)(input_ids=labels, labels=labels).loss.backward()
    for name in (Q0, UP1):
        adapted, gradient = model.get_submodule(name), plain.get_submodule(name).weight.grad
        expected = 2 * (gradient * ~masks[name]) @ adapted.lora_A["default"].weight.T
        assert torch.allclose(adapted.lora_B["default"].weight.grad, expected, rtol=1e-3, atol=1e-5)
    training.close()


@pytest.mark.parametrize("method", [FULL, LORA])
def test_one_frozen_entry_in_each_row_freezes_no_row_and_no_other_layer(loaded, samples, method):
    """Two layers with different masks: the published hook froze whole rows, and the last layer's everywhere."""
    model = loaded.model
    masks = {name: torch.zeros_like(linear_layers(model)[name].weight, dtype=torch.bool) for name in (Q0, UP1)}
    masks[Q0][:, 0] = True
    masks[UP1][:, 1] = True
    before = bits_of(model)
    tuned(model, samples, settings(**method), masks)
    after = bits_of(model)
    for name, column in ((Q0, 0), (UP1, 1)):
        columns = (after[f"{name}.weight"] != before[f"{name}.weight"]).float().mean(dim=0)
        assert columns[column] == 0
        assert min(columns[index] for index in range(len(columns)) if index != column) > 0.9


def test_lora_trains_the_named_layer_types_only(loaded, samples):
    before = bits_of(loaded.model)
    tuned(loaded.model, samples, settings(method="lora", lora={"layer_types": ["v_proj"]}))
    after = bits_of(loaded.model)
    assert {name.split(".")[-2] for name in after if (after[name] != before[name]).any()} == {"v_proj"}


@pytest.mark.parametrize("method", [FULL, LORA])
def test_no_steps_leave_every_bit(loaded, masks, method):
    fingerprint = model_fingerprint(loaded.model)
    receipt = tuned(loaded.model, [], settings(**method, examples=0), masks)
    assert model_fingerprint(loaded.model) == fingerprint == receipt.fingerprint_after
    assert (receipt.steps, receipt.loss_first, receipt.moved_share, receipt.swallowed_share) == (0, None, 0.0, 0.0)


@pytest.mark.parametrize("method", [FULL, LORA])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(loaded, samples, method):
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(found))  # the global generator decides nothing, and is left as it was
        state = torch.get_rng_state()
        with all_weights_restored(loaded.model):
            found.append(tuned(loaded.model, samples, settings(**method, seed=seed)).fingerprint_after)
        assert torch.equal(torch.get_rng_state(), state)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("method", [FULL, LORA])
def test_all_weights_are_restored_bitwise_also_after_an_exception(loaded, samples, method):
    fingerprint, modules = model_fingerprint(loaded.model), [type(module) for module in loaded.model.modules()]

    def fail(share):
        raise RuntimeError("the machine died")

    with all_weights_restored(loaded.model):
        tuned(loaded.model, samples, settings(**method))
        assert model_fingerprint(loaded.model) != fingerprint
    assert model_fingerprint(loaded.model) == fingerprint
    with pytest.raises(RuntimeError, match="died"), all_weights_restored(loaded.model):
        fine_tune(loaded.model, samples, settings(**method), None, fail)
    assert model_fingerprint(loaded.model) == fingerprint
    assert [type(module) for module in loaded.model.modules()] == modules


@pytest.mark.parametrize("method", [FULL, LORA])
def test_what_bfloat16_swallows_is_counted(loaded, samples, method):
    """At a learning rate of 1e-7 an update is far below half a unit in the last place of almost every weight."""
    model = loaded.model.to(torch.bfloat16)
    receipt = tuned(model, samples, settings(**method, learning_rate=1e-7, weight_decay=0.0, parameters="all"))
    assert receipt.moved_share < 0.1
    assert receipt.swallowed_share > 0.7  # the rest are embeddings of tokens that do not occur
    assert receipt.moved_share + receipt.swallowed_share <= 1


def test_updates_too_small_for_bfloat16_add_up_in_the_master_weights(loaded, samples):
    """1 is followed by 1.0078: 60 steps of 1e-4 are 0.006, and none of them alone would move it."""
    model = loaded.model.to(torch.bfloat16)
    model.model.norm.weight.data.fill_(1.0)
    chosen = settings(epochs=20, batch_size=2, learning_rate=1e-4, weight_decay=0.0, learning_rate_schedule="constant")
    tuned(model, samples, chosen)
    assert (model.model.norm.weight != 1.0).any()


@pytest.mark.parametrize(
    ("changes", "masks", "words"),
    [
        ({"examples": 5}, None, "6 samples, the settings say 5"),
        ({}, {"model.layers.9.mlp.up_proj": torch.ones(1, 1, dtype=torch.bool)}, "no linear layer"),
        ({}, {Q0: torch.ones(32, 31, dtype=torch.bool)}, "expected bool"),
        ({}, {Q0: torch.ones(32, 32)}, "expected bool"),
    ],
)
def test_bad_input_is_refused_before_a_weight_is_touched(loaded, samples, changes, masks, words):
    fingerprint = model_fingerprint(loaded.model)
    with pytest.raises(UserError, match=words):
        tuned(loaded.model, samples, settings(**changes), masks)
    assert model_fingerprint(loaded.model) == fingerprint


def test_a_loss_that_diverges_is_a_setting_to_change(loaded, samples):
    with pytest.raises(UserError, match="lower learning_rate"):
        tuned(loaded.model, samples, settings(learning_rate=1e30))


def test_gradients_add_up_in_float32_and_are_zero_where_frozen(loaded, samples, masks):
    """Of a bfloat16 model too; a frozen entry takes no part in the norm that clips all gradients."""
    model = loaded.model.to(torch.bfloat16)
    training = FullTraining(model, settings(), masks)
    expected = {name: torch.zeros(mask.shape) for name, mask in masks.items()}
    for sample in samples[:3]:
        response_loss(model, pad([sample]))[0].backward()
        for name in expected:
            expected[name] += linear_layers(model)[name].weight.grad.float() * ~masks[name]
        training.collect_gradients()
    for name, leaf in zip(training.trained, training.leaves, strict=True):
        if name.removesuffix(".weight") in masks:
            assert leaf.dtype == torch.float32
            assert torch.equal(leaf.grad, expected[name.removesuffix(".weight")])
    training.close()


@pytest.mark.parametrize("method", [FULL, LORA])
def test_the_losses_of_a_receipt_are_means_over_response_tokens(loaded, samples, method):
    total = sum(float(response_loss(loaded.model, pad([sample]))[0]) for sample in samples)
    tokens = sum(int((sample.labels != -100).sum()) for sample in samples)
    receipt = tuned(loaded.model, samples, settings(**method, epochs=3, batch_size=2, gradient_accumulation=3))
    assert receipt.loss_first == pytest.approx(total / tokens, rel=1e-5)
    assert receipt.loss_last < receipt.loss_first
    assert receipt.steps == 3
