"""What trains: samples, first loss and layers, beside what was declared, and each of them otherwise."""

import pytest
import torch

from harness.calibration.pairs import read_pairs
from harness.finetuning.data import training_samples
from harness.finetuning.fine_tuning import fine_tune
from harness.receipts.data import Tokens, read_training_plainly, same_samples
from harness.receipts.training import first_loss, plain_training, trained_layers
from harness.spec.finetuning import FineTuningSettings

TURN_END = 2


def declared(**changes):
    lora = {"method": "lora", "lora": {"r": 2, "alpha": 4}}
    settings = {"dataset": "pairs", "examples": 6, "epochs": 1, "batch_size": 4, "max_tokens": 20, **lora, **changes}
    return FineTuningSettings.model_validate(settings)


def plain_samples(loaded, path, settings):
    return read_training_plainly("pairs", path, settings, Tokens(loaded.tokenizer, (1,), 128), TURN_END)


def used(loaded, path, settings):
    return training_samples(read_pairs(path), loaded.tokenizer, "llama-2", settings, 128)


def tuned(loaded, samples, settings):
    """The receipt, what was learned, and the parameters before."""
    learned = []
    intact = {name: parameter.detach().clone() for name, parameter in loaded.model.named_parameters()}
    receipt = fine_tune(loaded.model, samples, settings, None, lambda share: None, None, learned.append)
    return receipt, list(learned[0].tensors), intact


@pytest.mark.parametrize("max_tokens", [20, 128])
def test_samples_are_those_of_the_file_with_the_end_of_the_turn(loaded, pairs_csv, max_tokens):
    settings = declared(max_tokens=max_tokens)
    plain = plain_samples(loaded, pairs_csv, settings)
    receipt = same_samples([plain], [used(loaded, pairs_csv, settings)], [plain.file_sha256], kind="training")
    assert receipt.name == "training-samples"
    assert receipt.holds, receipt.words
    other = same_samples([plain], [used(loaded, pairs_csv, declared(seed=1, examples=5))], [plain.file_sha256])
    assert not other.holds


def test_the_first_loss_is_the_intact_models_own(loaded, pairs_csv):
    settings = declared()
    plain = plain_training(loaded.model, settings, plain_samples(loaded, pairs_csv, settings))
    receipt, _, _ = tuned(loaded, used(loaded, pairs_csv, settings), settings)
    assert first_loss(plain, receipt, sixteen_bit=False).holds
    assert not first_loss(plain, receipt.model_copy(update={"steps": 3}), sixteen_bit=False).holds


def test_samples_in_another_order_begin_with_another_loss(loaded, pairs_csv):
    settings = declared()
    plain = plain_training(loaded.model, settings, plain_samples(loaded, pairs_csv, settings))
    samples = used(loaded, pairs_csv, settings)
    receipt, _, _ = tuned(loaded, [*samples[1:], samples[0]], settings)
    assert "the first with the intact model's loss on its 4 samples" in first_loss(plain, receipt, False).words
    assert not first_loss(plain, receipt, sixteen_bit=False).holds


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lora": {"r": 2, "alpha": 4, "layer_types": ["q_proj"]}},
        {"method": "full", "lora": None},
        {"method": "full", "lora": None, "parameters": "linear_layers"},
    ],
)
def test_exactly_the_declared_layers_train(loaded, pairs_csv, changes):
    settings = declared(**changes)
    _, learned, intact = tuned(loaded, used(loaded, pairs_csv, settings), settings)
    assert trained_layers(loaded.model, settings, learned, intact).holds
    few = trained_layers(loaded.model, settings, learned[2:], intact)
    assert "of them were not trained, first model." in few.words
    with torch.no_grad():
        loaded.model.model.norm.weight.mul_(2)
    moved = trained_layers(loaded.model, settings, learned, intact)
    assert moved.holds is (settings.method == "full" and settings.parameters == "all")


def test_three_layer_types_where_seven_are_declared_are_told(loaded, pairs_csv):
    three = declared(lora={"r": 2, "alpha": 4, "layer_types": ["q_proj", "v_proj", "o_proj"]})
    _, learned, intact = tuned(loaded, used(loaded, pairs_csv, three), three)
    receipt = trained_layers(loaded.model, declared(), learned, intact)
    assert "8 of them were not trained, first model.layers.0.self_attn.k_proj.weight" in receipt.words
    assert receipt.evidence["declared"] - receipt.evidence["trained"] == 8
