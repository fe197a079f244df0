"""What a checkpoint asks for in generation_config.json decides no text, is named, and is saved as it was."""

import json
import shutil

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.engines.base import Request
from harness.engines.hf import make
from harness.errors import UserError
from harness.models.checkpoint_files import CheckpointFiles
from harness.models.loading import load_checkpoint
from harness.models.own_decoding import left_out
from harness.receipts.loaded import as_named

SETTINGS = {
    "sampled": {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 5},
    "warm but not sampled": {"temperature": 0.6, "top_p": 0.9},
    "penalised": {"repetition_penalty": 1.9, "no_repeat_ngram_size": 2, "encoder_repetition_penalty": 1.5},
    "suppressed": {"suppress_tokens": list(range(5, 300)), "begin_suppress_tokens": [7], "bad_words_ids": [[9]]},
    "long": {"min_new_tokens": 11, "min_length": 30, "max_length": 5, "max_new_tokens": 3, "max_time": 1e-9},
    "beams": {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 2.0, "early_stopping": True},
    "another output": {"return_dict_in_generate": True, "output_scores": True},
    "looked up": {"prompt_lookup_num_tokens": 3},
    "forced": {"forced_bos_token_id": 8, "forced_eos_token_id": 9, "exponential_decay_length_penalty": [2, 1.5]},
    "guided": {"guidance_scale": 3.0, "stop_strings": ["a"], "token_healing": True},
    "no cache": {"use_cache": False},
    "another cache": {"cache_implementation": "quantized"},
    "watermarked": {"watermarking_config": {"greenlist_ratio": 0.25, "bias": 9.0}},
}


@pytest.fixture
def asking(checkpoint, tmp_path):
    """A copy of the checkpoint, and a function that has it ask for more."""
    folder = shutil.copytree(checkpoint, tmp_path / "asking")

    def ask(settings):
        path = folder / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
        return folder

    return ask


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_texts_are_those_of_the_model_without_it(settings, asking, checkpoint):
    requests = [Request((1, 5, 6), 12), Request((1, 9), 12, 1.0, (3,))]
    wanted = make(load_checkpoint(str(checkpoint))).generate(requests)
    assert make(load_checkpoint(str(asking(settings)))).generate(requests) == wanted


def test_use_cache_in_config_json_is_left_out_too(asking, checkpoint):
    folder = asking({})
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "use_cache": False}))
    requests = [Request((1, 5, 6), 12)]
    wanted = make(load_checkpoint(str(checkpoint))).generate(requests)
    assert make(load_checkpoint(str(folder))).generate(requests) == wanted


def test_it_is_named_in_the_receipt_of_the_files(asking, checkpoint):
    folder = asking({"repetition_penalty": 1.2, "top_p": 0.9})
    receipt = as_named(load_checkpoint(str(folder)).model, CheckpointFiles.at(str(folder)), "float32")
    assert receipt.holds
    assert receipt.seen.endswith("what generation_config.json asks for: repetition_penalty 1.2, top_p 0.9")
    plain = as_named(load_checkpoint(str(checkpoint)).model, CheckpointFiles.at(str(checkpoint)), "float32")
    assert plain.seen == "that"


def test_a_file_without_settings_is_refused(tmp_path):
    (tmp_path / "generation_config.json").write_text("[1]")
    with pytest.raises(UserError, match=r"generation_config\.json: no settings"):
        left_out(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    assert left_out(tmp_path) == {}


@pytest.mark.parametrize("settings", [SETTINGS["warm but not sampled"], SETTINGS["beams"]])
def test_an_edited_copy_asks_for_what_the_checkpoint_asked_for(settings, asking, pairs_csv, tmp_path):
    folder, scores, out = asking(settings), tmp_path / "wanda.safetensors", tmp_path / "edited"
    for command in (
        ["score", folder, "--method", "wanda", "--data", pairs_csv, "--out", scores],
        ["edit", folder, "--select", "top", "--scores", scores, "--fraction", 0.1, "--out", out],
    ):
        result = CliRunner().invoke(main, [str(word) for word in command])
        assert result.exit_code == 0, result.output
    assert (out / "generation_config.json").read_bytes() == (folder / "generation_config.json").read_bytes()
