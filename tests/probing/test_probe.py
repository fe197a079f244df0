import pytest
import torch
from sklearn.linear_model import LogisticRegression

from harness.calibration.files import dataset_path
from harness.errors import UserError
from harness.formulas.probing import split_train_validation
from harness.models.loading import load_variant
from harness.models.prompts import PromptFormatter
from harness.probing.activations import head_outputs
from harness.probing.heads import Head, top_heads
from harness.probing.probe import probe_heads, read_prompts
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.probing import ProbeSettings
from harness.spec.variant import ModelVariant
from tests.conftest import WORDS

SETTINGS = ProbeSettings(harmful="harmful", harmless="harmless")


@pytest.fixture
def files(tmp_path):
    """Thirty and twenty requests of different words, and the function from a dataset's name to its file."""
    words = WORDS.split()
    (tmp_path / "harmful").write_text("".join(f"{words[i % 11]} cat {words[i % 7]} {i}\n" for i in range(30)))
    (tmp_path / "harmless").write_text("".join(f"{words[i % 9]} dogs {words[i % 8 + 3]} {i}\n" for i in range(20)))
    return lambda name: tmp_path / name


@pytest.fixture
def formatter(loaded):
    return PromptFormatter(loaded.tokenizer, "llama-2", "be kind")


def test_every_head_agrees_with_scikit_learn(loaded, formatter, files):
    prompts = read_prompts(SETTINGS, formatter, files)
    hits = probe_heads(loaded.model, prompts, 0).hits
    outputs = head_outputs(loaded.model, [*prompts.harmful, *prompts.harmless]).double()
    labels = torch.arange(50) < 30
    split = split_train_validation(labels, 0)
    for block in range(2):
        for head in range(4):
            features = outputs[:, block, head].numpy()
            reference = LogisticRegression(max_iter=1000).fit(features[split.train], labels[split.train].numpy())
            expected = reference.predict(features[split.validation]) == labels[split.validation].numpy()
            assert hits[:, block, head].tolist() == expected.tolist()


def test_a_probe_is_the_same_each_time_and_another_split_gives_another(loaded, formatter, files):
    prompts = read_prompts(SETTINGS, formatter, files)
    first, again, other = (probe_heads(loaded.model, prompts, seed) for seed in (0, 0, 1))
    assert torch.equal(first.hits, again.hits)
    assert not torch.equal(first.hits, other.hits)
    assert torch.equal(first.accuracy, first.hits.double().mean(0))


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ({}, "[INST] <<SYS>>\nbe kind\n<</SYS>>\n\nthe cat the 0 [/INST]"),
        ({"system_prompt": False}, "[INST] the cat the 0 [/INST]"),
        ({"system_prompt": False, "chat_template": False}, "the cat the 0\n"),
    ],
)
def test_requests_are_wrapped_as_the_settings_say(formatter, files, style, text):
    prompts = read_prompts(SETTINGS.model_copy(update={**style, "prompts": 5}), formatter, files)
    assert prompts.harmful[0] == formatter.ids(text)
    assert (len(prompts.harmful), len(prompts.harmless)) == (5, 5)


def test_too_few_requests_are_named(formatter, files):
    with pytest.raises(UserError, match="'harmless' holds 20 requests, 25 are asked for"):
        read_prompts(SETTINGS.model_copy(update={"prompts": 25}), formatter, files)


def test_a_request_in_both_datasets_is_refused(formatter, files):
    files("harmless").write_text(files("harmful").read_text().splitlines()[3] + "\nanother\n")
    with pytest.raises(UserError, match="share 1 requests"):
        read_prompts(SETTINGS, formatter, files)


def test_one_dataset_as_both_classes_is_refused():
    with pytest.raises(ValueError, match="expected two datasets"):
        ProbeSettings(harmful="same", harmless="same")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_planted_head_of_the_organism_is_the_first_that_knows(seed):
    """Block 1, head 0 was trained to detect forbidden nouns; every head before it sees less."""
    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant)
    loaded = load_variant(variant, path)
    settings = ProbeSettings(harmful="selection-requests", harmless="benign-selection-requests", seed=seed)
    formatter = PromptFormatter(loaded.tokenizer, variant.chat_template, variant.system_prompt)
    prompts = read_prompts(settings, formatter, lambda name: dataset_path(variant, path, name))
    accuracy = probe_heads(loaded.model, prompts, seed).accuracy
    assert accuracy[1, 0] == 1.0
    others = accuracy[:2].flatten()[torch.arange(16) != 8]
    assert others.max() < 0.98
    assert top_heads(accuracy, 1) == [Head(1, 0)]
