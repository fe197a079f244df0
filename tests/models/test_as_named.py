"""A model in memory is compared with the files that it comes from, and with a forward pass of their numbers."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import UserError
from harness.models.as_named import unlike_its_files
from harness.models.checkpoint_files import CheckpointFiles
from harness.models.loading import load_checkpoint
from harness.models.plain_llama import is_known, plain_states


@pytest.fixture
def folder(checkpoint, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(checkpoint, path)
    return path


def changed(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def in_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def problems(loaded, folder):
    return unlike_its_files(loaded.model, CheckpointFiles.at(str(folder)), torch.float32)


@pytest.mark.parametrize("which", ["loaded", "llama3"])
def test_a_model_is_as_its_files_say(which, request, checkpoint, llama3_checkpoint):
    place = {"loaded": checkpoint, "llama3": llama3_checkpoint}[which]
    assert problems(request.getfixturevalue(which), place) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("model.norm.weight"), "1 tensors are missing in the files, first model.norm.weight"),
        (
            lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}),
            "1 tensors of the files have no place in the model, first model.layers.0.self_attn.q_proj.bias",
        ),
        (lambda t: t.update({"model.layers.0.mlp.up_proj.weight": torch.zeros(48, 31)}), "mlp.up_proj.weight"),
    ],
)
def test_keys_that_are_missing_left_over_or_of_another_shape_refuse_to_load(folder, change, said):
    changed(folder, change)
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        load_checkpoint(str(folder))


def test_frequencies_that_older_checkpoints_store_are_no_left_over_keys(folder):
    changed(folder, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}))
    assert load_checkpoint(str(folder)).model.num_parameters() > 0


def test_another_dtype_than_the_declared_one_is_told(loaded, checkpoint):
    loaded.model.to(torch.bfloat16)
    words = unlike_its_files(loaded.model, CheckpointFiles.at(str(checkpoint)), torch.float32)
    assert any("bfloat16, first" in word and "expected float32" in word for word in words)


def test_a_factor_that_explains_all_of_a_tensor_is_named(loaded, checkpoint):
    with torch.no_grad():
        loaded.model.model.layers[1].input_layernorm.weight.mul_(0.8)
    (word,) = problems(loaded, checkpoint)
    assert word.startswith("model.layers.1.input_layernorm.weight: 32 of 32 numbers")
    assert "0.8 times those" in word


def test_weights_that_were_rounded_on_their_way_are_told_so(loaded, checkpoint):
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    words = problems(loaded, checkpoint)
    assert words
    assert all("passed through bfloat16" in word for word in words)


def test_one_bit_of_one_number_is_enough(loaded, checkpoint):
    weight = loaded.model.model.layers[0].mlp.down_proj.weight
    with torch.no_grad():
        weight.view(torch.int32)[3, 5] ^= 1
    (word,) = problems(loaded, checkpoint)
    assert "mlp.down_proj.weight: 1 of" in word


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rms_norm_eps": 1e-3}, "rms_norm_eps 0.001"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, "rope_theta 1e"),
        ({"attention_bias": True}, "attention_bias: True"),
    ],
)
def test_what_config_json_says_otherwise_is_told(loaded, folder, values, said):
    in_config(folder, **values)
    (word,) = problems(loaded, folder)
    assert said in word


def test_scaled_rope_is_that_of_llama_3(llama3, llama3_checkpoint):
    llama3.model.model.rotary_emb.inv_freq[-1] *= 1.001
    (word,) = problems(llama3, llama3_checkpoint)
    assert "RoPE" in word


@pytest.mark.parametrize("which", ["loaded", "llama3"])
def test_the_equations_of_a_llama_give_what_transformers_gives(which, request, checkpoint, llama3_checkpoint):
    loaded = request.getfixturevalue(which)
    files = CheckpointFiles.at(str({"loaded": checkpoint, "llama3": llama3_checkpoint}[which]))
    ids = [1, 7, 9, 30, 12, 9, 9, 4]
    *_, logits = plain_states(files, ids, torch.float32, torch.device("cpu"))
    own = loaded.model(input_ids=torch.tensor([ids])).logits[0]
    assert is_known(files)
    assert torch.allclose(logits, own, atol=1e-4 * float(own.abs().max()))


def test_a_file_that_is_shorter_than_its_header_says_is_refused(folder):
    path = folder / "model.safetensors"
    stored = CheckpointFiles.at(str(folder)).tensors["model.norm.weight"]
    path.write_bytes(path.read_bytes()[: stored.start + 8])
    with pytest.raises(UserError, match="do not fit"):
        stored.read()
