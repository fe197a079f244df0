"""Checkpoints of others: without BOS, and with a config.json that fits no model."""

import json
import shutil

import pytest

from harness.errors import UserError
from harness.models.loading import load_checkpoint, load_tokenizer
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelSource, ModelVariant


@pytest.fixture
def without_bos(checkpoint, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "bos_token"}))
    return folder


def test_a_template_that_begins_with_bos_is_refused_with_file_and_next_step(without_bos):
    path = locations.find_variant("tiny-llama2-chat")
    shipped = load_yaml_model(path, ModelVariant)
    variant = shipped.model_copy(update={"source": ModelSource(path=str(without_bos))})
    with pytest.raises(UserError, match="checkpoint: the tokenizer has no BOS token") as caught:
        load_tokenizer(variant, path)
    assert "chat_template: tokenizer" in str(caught.value)
    own = variant.model_copy(update={"chat_template": "tokenizer"})
    assert load_tokenizer(own, path).bos_token is None


def test_a_checkpoint_without_bos_loads(without_bos):
    assert load_checkpoint(str(without_bos)).tokenizer.bos_token is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_attention_heads": 3, "num_key_value_heads": 3}, "not a multiple of the number of attention heads"),
        ({"hidden_act": "nonsense"}, "nonsense"),
        ({"rope_parameters": {"rope_type": "nonsense", "rope_theta": 10000.0}}, "nonsense"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"rms_norm_eps": [1]}, "rms_norm_eps"),
    ],
)
def test_a_config_that_fits_no_model_is_bad_input(settings, words, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    with pytest.raises(UserError, match=words):
        load_checkpoint(str(folder))
