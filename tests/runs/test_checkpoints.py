"""`harness score` and `harness edit` on a checkpoint of the user's."""

import json

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from harness.cli import main
from harness.formulas.selection import set_difference_mask, top_mask
from harness.models.layers import linear_layers


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def scores(checkpoint, pairs_csv, tmp_path):
    for method in ("snip", "wanda"):
        out = tmp_path / f"{method}.safetensors"
        result = invoke("score", checkpoint, "--method", method, "--data", pairs_csv, "--out", out)
        assert result.exit_code == 0, result.output
    return tmp_path / "snip.safetensors", tmp_path / "wanda.safetensors"


def test_scores_are_float32_under_the_layers_names(scores, checkpoint):
    found = load_file(scores[0])
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert {n: t.shape for n, t in found.items()} == {n: x.weight.shape for n, x in linear_layers(model).items()}
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


@pytest.mark.parametrize("group", ["row", "matrix"])
def test_an_edited_checkpoint_lacks_exactly_the_set_difference(scores, checkpoint, tmp_path, group):
    out = tmp_path / "edited"
    result = invoke("edit", checkpoint, "--select", "set-difference", "--safety", scores[0], "--utility", scores[1],
                    "-p", 0.1, "-q", 0.2, "--group", group, "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    safety, utility = load_file(scores[0]), load_file(scores[1])
    before = linear_layers(AutoModelForCausalLM.from_pretrained(checkpoint))
    after = linear_layers(AutoModelForCausalLM.from_pretrained(out))
    removed = 0
    for name, layer in before.items():
        mask = set_difference_mask(utility[name], safety[name], 0.1, 0.2, group)
        assert torch.equal(after[name].weight, layer.weight.masked_fill(mask, 0.0))
        removed += int(mask.sum())
    receipt = json.loads((out / "receipt.json").read_text())
    assert receipt["weights_selected"] == removed > 0
    assert receipt["fingerprint_edited"] != receipt["fingerprint_before"]


def test_top_removes_the_top(scores, checkpoint, tmp_path):
    out = tmp_path / "edited"
    result = invoke("edit", checkpoint, "--select", "top", "--scores", scores[1], "--fraction", 0.1, "--out", out)
    assert result.exit_code == 0
    weights = linear_layers(AutoModelForCausalLM.from_pretrained(out))
    for name, score in load_file(scores[1]).items():
        assert (weights[name].weight[top_mask(score, 0.1, "row")] == 0).all()


def test_bad_input_ends_with_exit_code_2_and_leaves_nothing(scores, checkpoint, pairs_csv, tmp_path):
    wrong = load_file(scores[0])
    wrong.pop("model.layers.0.mlp.up_proj")
    save_file(wrong, tmp_path / "wrong.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"no tensors here")
    out = tmp_path / "out"
    edit = ("edit", checkpoint, "--out", out, "--select", "top", "--fraction", 0.1, "--scores")
    for arguments, words in [
        (("score", checkpoint, "--method", "snop", "--data", pairs_csv, "--out", out), "did you mean 'snip'"),
        (("score", checkpoint, "--method", "snip", "--out", out), "needs --data"),
        (("score", checkpoint, "--method", "snip", "--data", tmp_path / "none.csv", "--out", out), "no such file"),
        (("score", checkpoint, "--method", "snip", "--data", pairs_csv, "--samples", 99, "--out", out), "holds 6"),
        (("score", tmp_path / "none", "--method", "magnitude", "--out", out), "no such checkpoint"),
        ((*edit, tmp_path / "wrong.safetensors"), "up_proj"),
        ((*edit, tmp_path / "noise.safetensors"), "not a readable safetensors file"),
        ((*edit[:-2], 1.5, "--scores", scores[0]), "fraction is 1.5"),
        (("edit", checkpoint, "--out", out, "--select", "top", "--scores", scores[0]), "--fraction is needed"),
        ((*edit, scores[0], "-p", 0.1), "-p has no meaning"),
    ]:
        result = invoke(*arguments)
        assert (result.exit_code, words in result.output) == (2, True), (arguments, result.output)
        assert not out.exists()


def test_scores_of_other_weights_are_refused(scores, checkpoint, tmp_path):
    first = tmp_path / "first"
    top = ("--select", "top", "--fraction", 0.1, "--scores", scores[0])
    assert invoke("edit", checkpoint, *top, "--out", first).exit_code == 0
    result = invoke("edit", first, *top, "--out", tmp_path / "second")
    assert result.exit_code == 2
    assert "other weights" in result.output
