"""Checkpoints of others: without BOS, and with a config.json that fits no model."""

import json
import shutil
import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.models.loading import (
    checkpoint_files,
    load_checkpoint,
    load_stop_tokens,
    load_tokenizer,
    load_variant,
)
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelSource, ModelVariant
from tests.environment import environment

#: Prints the first line of the error, and by how many KiB the most memory of the process has grown.
MEMORY = """
import resource, sys
from harness.errors import UserError
from harness.models.loading import load_checkpoint
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = most()
try:
    load_checkpoint(sys.argv[1])
except UserError as error:
    print(str(error).splitlines()[0])
print(most() - before)
"""


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
        ({"pad_token_id": 99_999}, "cannot be loaded: Padding_idx must be within num_embeddings"),
        ({"model_type": "timm_wrapper"}, "cannot be loaded: TimmWrapperConfig requires"),
        ({"num_labels": 10**9}, "num_labels is 1000000000; expected"),
        ({"text_config": {"num_hidden_layers": 10**9}}, "text_config.num_hidden_layers is 1000000000; expected"),
        ({"model_type": "gpt2", "num_hidden_layers": ..., "n_layer": 10**9}, "num_hidden_layers is 1000000000"),
        ({"model_type": "llama4"}, "only Llama architectures are supported"),
    ],
)
def test_a_config_that_fits_no_model_is_bad_input(settings, words, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    with pytest.raises(UserError, match=words):
        load_checkpoint(str(folder))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB there")
def test_sizes_that_are_not_those_of_the_files_take_no_memory(checkpoint, tmp_path):
    """In a process of its own: what one has once taken, it counts for good."""
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intermediate_size": 1 << 20}))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folder)], env=environment(), capture_output=True, text=True, check=True
    )
    words, taken = done.stdout.splitlines()
    assert "mlp.gate_proj.weight is (1048576, 32) in the model and (48, 32) in model.safetensors" in words
    assert int(taken) < 200_000  # the model would take 800 MB


def test_a_folder_in_the_working_directory_is_not_taken_for_a_repository_of_its_name(checkpoint, tmp_path, monkeypatch):
    shutil.copytree(checkpoint, tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    path = locations.find_variant("tiny-llama2-chat")
    pinned = ModelSource(repository="owner/name", revision="0" * 40)
    variant = load_yaml_model(path, ModelVariant).model_copy(update={"source": pinned})
    for load in (load_tokenizer, load_variant, load_stop_tokens, checkpoint_files):
        with pytest.raises(UserError, match="owner/name: lies in the working directory"):
            load(variant, path)
