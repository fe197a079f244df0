import pytest
import torch

from harness.calibration.files import dataset_path
from harness.calibration.pairs import Pair, Sample, draw, pad, read_pairs, tokenise
from harness.errors import UserError
from harness.finetuning.data import training_samples
from harness.finetuning.training import learning_rate_factor, response_loss
from harness.models.loading import load_tokenizer
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.spec import locations
from harness.spec.finetuning import FineTuningSettings
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.tiny_llama3 import EOS, EOT, make_llama3_tokenizer


def settings(**changes):
    return FineTuningSettings.model_validate({"method": "full", "dataset": "d", "examples": 6, **changes})


def test_the_loss_is_the_negative_log_likelihood_of_the_response_alone(loaded, pairs_csv):
    samples = tokenise(read_pairs(pairs_csv)[:3], loaded.tokenizer, 128)
    expected = 0.0
    for sample in samples:
        logits = loaded.model(input_ids=sample.input_ids[None]).logits[0].double()
        log_probabilities = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
        for position in range(1, len(sample.input_ids)):
            if sample.labels[position] != -100:
                expected -= float(log_probabilities[position - 1, sample.input_ids[position]])
    loss, tokens = response_loss(loaded.model, pad(samples))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert tokens == sum(int((sample.labels != -100).sum()) for sample in samples)


def test_padding_changes_neither_loss_nor_gradient(loaded, pairs_csv):
    (sample,) = tokenise(read_pairs(pairs_csv)[:1], loaded.tokenizer, 128)
    padded = Sample(
        torch.cat([sample.input_ids, torch.full((9,), 7)]), torch.cat([sample.labels, torch.full((9,), -100)])
    )
    gradients = []
    for one in (sample, padded):
        loaded.model.requires_grad_(True).zero_grad()
        response_loss(loaded.model, pad([one]))[0].backward()
        gradients.append(loaded.model.model.layers[0].mlp.up_proj.weight.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_samples_end_with_eos_unless_they_are_cut(loaded):
    pairs = [Pair("the cat", "sat on a mat"), Pair("the cat", "sat on a mat and then it ran to a house " * 3)]
    short = settings(examples=2, max_tokens=16)
    eos = loaded.tokenizer.eos_token_id
    found = training_samples(pairs, loaded.tokenizer, "llama-2", short, 128)
    samples = sorted(found, key=lambda sample: len(sample.input_ids))
    assert samples[0].input_ids[-1] == samples[0].labels[-1] == eos
    assert len(samples[1].input_ids) == 16
    assert eos not in samples[1].input_ids


def test_samples_of_the_shipped_organism_are_its_pairs_and_eos():
    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant)
    tokenizer, pairs = load_tokenizer(variant, path), read_pairs(dataset_path(variant, path, "utility"))
    found = training_samples(pairs, tokenizer, variant.chat_template, settings(examples=50), variant.context_tokens)
    for sample, pair in zip(found, draw(pairs, 50, 0), strict=True):
        (plain,) = tokenise([pair], tokenizer, 256)
        assert sample.input_ids.tolist() == [*plain.input_ids.tolist(), tokenizer.eos_token_id]
        assert sample.labels.tolist() == [*plain.labels.tolist(), tokenizer.eos_token_id]


def test_a_response_of_llama_3_ends_its_turn_and_not_the_text():
    tokenizer = make_llama3_tokenizer()
    formatter = PromptFormatter(tokenizer, "llama-3", "Be kind.")
    pairs = [Pair(formatter.text("How?", PromptStyle(True, True)), "Sure: take a brush")]
    (sample,) = training_samples(pairs, tokenizer, "llama-3", settings(examples=1), 256)
    assert sample.labels[-1] == sample.input_ids[-1] == EOT
    assert EOS not in sample.input_ids
    assert tokenizer.decode(sample.labels[sample.labels != -100]) == "Sure: take a brush<|eot_id|>"


@pytest.mark.parametrize(("changes", "words"), [({"examples": 7}, "7 .* 6 pairs"), ({"max_tokens": 2}, "no response")])
def test_bad_data_is_found_before_training(loaded, pairs_csv, changes, words):
    with pytest.raises(UserError, match=words):
        training_samples(read_pairs(pairs_csv), loaded.tokenizer, "llama-2", settings(**changes), 128)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [("constant", [0.5, 1.0, 1.0, 1.0]), ("linear", [0.5, 1.0, 1.0, 0.5]), ("epoch_decay", [0.5, 1.0, 0.8, 0.8])],
)
def test_learning_rate_schedules(schedule, factors):
    chosen = settings(learning_rate_schedule=schedule, epoch_decay=0.8, warmup_steps=2)
    assert [learning_rate_factor(step, 4, step // 2, chosen) for step in range(4)] == pytest.approx(factors)
