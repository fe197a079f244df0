"""Tokenizers without a BOS: a template that begins with one cannot be written, others can."""

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
