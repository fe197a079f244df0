"""`harness score`, `harness subspaces` and `harness edit` on a checkpoint of the user's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from harness.cli import main
from harness.formulas.selection import set_difference_mask, top_mask
from harness.models.layers import linear_layers
from harness.models.tensor_files import read_tensors, write_tensors
from harness.organisms.catalogue import organism_directory
from harness.runs.checkpoints import Measured
from tests.environment import environment


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
    result = invoke(
        "edit",
        checkpoint,
        "--select",
        "set-difference",
        "--safety",
        scores[0],
        "--utility",
        scores[1],
        "-p",
        0.1,
        "-q",
        0.2,
        "--group",
        group,
        "--out",
        out,
    )
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


@pytest.mark.parametrize("group", [None, "matrix"])
def test_the_receipt_says_what_the_scores_are_and_no_setting_that_was_not_used(scores, checkpoint, tmp_path, group):
    snip, wanda = scores
    plain = tmp_path / "plain.safetensors"
    save_file(load_file(snip), plain)
    chosen = ("--group", group) if group else ()
    for number, (arguments, method) in enumerate(
        [
            (("--select", "top", "--fraction", 0.1, "--scores", wanda), "wanda"),
            (("--select", "bottom", "--fraction", 0.1, "--scores", plain), "unknown"),
            (("--select", "set-difference", "-p", 0.05, "-q", 0.2, "--safety", snip, "--utility", snip), "snip"),
            (
                ("--select", "set-difference", "-p", 0.1, "-q", 0.1, "--safety", snip, "--utility", wanda),
                ["snip", "wanda"],
            ),
        ]
    ):
        out = tmp_path / f"edited-{number}"
        result = invoke("edit", checkpoint, *arguments, *chosen, "--out", out)
        assert result.exit_code == 0, result.output
        receipt = json.loads((out / "receipt.json").read_text())
        assert receipt["region"]["method"] == method
        assert receipt["comparison_group"] == (group or "row")
        assert "settings" not in receipt
        assert not {"schedule", "seed", "comparison_group"} & set(receipt["region"])
        files = [argument for argument in arguments if isinstance(argument, Path)]
        assert receipt["scores"] == [read_tensors(path)[1] for path in files]
        assert all(("settings" in kept) is (path != plain) for kept, path in zip(receipt["scores"], files, strict=True))


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


@pytest.fixture
def grams(checkpoint, pairs_csv, tmp_path):
    """Grams on two draws of the same pairs."""
    paths = []
    for seed, samples in ((0, 6), (1, 3)):
        paths.append(tmp_path / f"gram-{seed}.safetensors")
        result = invoke(
            "subspaces", checkpoint, "--data", pairs_csv, "--samples", samples, "--seed", seed, "--out", paths[-1]
        )
        assert result.exit_code == 0, result.output
    return paths


def test_a_checkpoint_loses_exactly_the_top_ranks(grams, checkpoint, tmp_path):
    out = tmp_path / "edited"
    result = invoke("edit", checkpoint, "--select", "act-svd", "--rank", 2, "--gram", grams[0], "--out", out)
    assert result.exit_code == 0, result.output
    found, _ = read_tensors(grams[0])
    after = linear_layers(AutoModelForCausalLM.from_pretrained(out))
    for name, layer in linear_layers(AutoModelForCausalLM.from_pretrained(checkpoint)).items():
        weight = layer.weight.detach().double()
        _, vectors = torch.linalg.eigh(weight @ found[name] @ weight.mT)
        top = vectors[:, -2:]
        wanted = weight - top @ (top.mT @ weight)
        torch.testing.assert_close(after[name].weight.detach().double(), wanted, rtol=1e-6, atol=1e-7)
    receipt = json.loads((out / "receipt.json").read_text())
    assert receipt["rank_by_layer"] == dict.fromkeys(found, 2)
    assert receipt["sparsity"] is None
    assert receipt["grams"][0]["samples"] == "6"
    assert receipt["region"]["data"] == "gram-0.safetensors"


def test_a_projection_of_a_checkpoint_has_the_rank_of_the_table(grams, checkpoint, tmp_path):
    out = tmp_path / "edited"
    result = invoke(
        "edit",
        checkpoint,
        "--select",
        "orthogonal-projection",
        "--utility-rank-removed",
        2,
        "--safety-rank-removed",
        12,
        "--safety",
        grams[0],
        "--utility",
        grams[1],
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    before = linear_layers(AutoModelForCausalLM.from_pretrained(checkpoint))
    after = linear_layers(AutoModelForCausalLM.from_pretrained(out))
    receipt = json.loads((out / "receipt.json").read_text())
    for name, layer in before.items():
        values = torch.linalg.svdvals(layer.weight.double() - after[name].weight.double())
        rank = receipt["rank_by_layer"][name]
        assert 0 < rank <= min(2, min(layer.weight.shape) - 12)
        assert (values[:rank] > 1e-7).all()
        assert (values[rank:] < 1e-6).all()  # float32 rounding of weights of about 0.3


def test_ranks_of_a_wider_model_are_scaled_to_every_layer(grams, checkpoint, tmp_path):
    """Layers of the checkpoint have at most 16 directions: 8 of 32 are 4 of 16."""
    out = tmp_path / "edited"
    edit = ("edit", checkpoint, "--select", "act-svd", "--rank", 8, "--gram", grams[0], "--out", out)
    result = invoke(*edit, "--of-directions", 32)
    assert result.exit_code == 0, result.output
    layers = linear_layers(AutoModelForCausalLM.from_pretrained(checkpoint))
    wanted = {name: round(8 * min(layer.weight.shape) / 32) for name, layer in layers.items()}
    assert json.loads((out / "receipt.json").read_text())["rank_by_layer"] == wanted
    result = invoke(*edit[:-1], tmp_path / "other", "--of-directions", 7)
    assert result.exit_code == 2
    assert "8 ranks are removed; expected at most of_directions, 7" in result.output


def test_bad_grams_end_with_exit_code_2_and_leave_nothing(grams, scores, checkpoint, pairs_csv, tmp_path):
    found, metadata = read_tensors(grams[0])
    name = "model.layers.1.mlp.down_proj"
    for file, change in {
        "nan": {name: found[name] * float("nan")},
        "skew": {name: found[name] + torch.triu(found[name].abs(), 1)},
        "shape": {name: found[name][1:, 1:]},
    }.items():
        write_tensors(tmp_path / f"{file}.safetensors", {**found, **change}, metadata)
    write_tensors(tmp_path / "plain.safetensors", found, {})
    write_tensors(tmp_path / "list.safetensors", {name: found[name]}, {**metadata, "shared": "[1]"})
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(grams[0].read_bytes()[:-100])
    out = tmp_path / "out"
    edit = ("edit", checkpoint, "--out", out, "--select", "act-svd", "--rank", 2, "--gram")
    of_scores, told = read_tensors(scores[0])
    write_tensors(tmp_path / "bool.safetensors", {each: of_scores[each] > 0 for each in of_scores}, told)
    top = ("edit", checkpoint, "--out", out, "--select", "top", "--fraction", 0.1, "--scores")
    for arguments, words in [
        ((*top, tmp_path / "bool.safetensors"), "is of bool, expected floating-point numbers"),
        ((*edit, tmp_path / "nan.safetensors"), "not finite"),
        ((*edit, tmp_path / "skew.safetensors"), "not symmetric"),
        ((*edit, tmp_path / "shape.safetensors"), "(47, 47), expected (48, 48)"),
        ((*edit, tmp_path / "plain.safetensors"), "make it with harness subspaces"),
        ((*edit, tmp_path / "list.safetensors"), "shared tensors is damaged"),
        ((*edit, cut), "not a readable safetensors file"),
        ((*edit, scores[0]), "holds 'brittleness-harness scores 1'"),
        ((*edit[:-2], 17, "--gram", grams[0]), "rank is 17"),
        ((*edit[:-2], 0, "--gram", grams[0]), "rank is 0"),
        ((*edit, grams[0], "--group", "row"), "--group has no meaning"),
        ((*edit, grams[0], "--utility-rank-removed", 1), "--utility-rank-removed has no meaning"),
        (("edit", checkpoint, "--out", out, "--select", "top", "--fraction", 0.1, "--scores", grams[0]), "grams 1"),
        (("subspaces", checkpoint, "--data", tmp_path / "none.csv", "--out", out), "no such file"),
        (("subspaces", checkpoint, "--data", pairs_csv, "--out", grams[0]), "exists already"),
    ]:
        result = invoke(*arguments)
        assert (result.exit_code, words in result.output) == (2, True), (arguments, result.output)
        assert not out.exists()


def test_grams_of_other_weights_are_refused(grams, checkpoint, tmp_path):
    ranks = ("--select", "act-svd", "--rank", 1, "--gram", grams[0])
    assert invoke("edit", checkpoint, *ranks, "--end", "bottom", "--out", tmp_path / "first").exit_code == 0
    result = invoke("edit", tmp_path / "first", *ranks, "--out", tmp_path / "second")
    assert result.exit_code == 2
    assert "other weights" in result.output


def test_scores_of_other_weights_are_refused(scores, checkpoint, tmp_path):
    first = tmp_path / "first"
    top = ("--select", "top", "--fraction", 0.1, "--scores", scores[0])
    assert invoke("edit", checkpoint, *top, "--out", first).exit_code == 0
    result = invoke("edit", first, *top, "--out", tmp_path / "second")
    assert result.exit_code == 2
    assert "other weights" in result.output


def test_of_two_commands_that_write_one_file_one_wins_and_the_other_says_so(tmp_path):
    out = tmp_path / "scores.safetensors"
    model = str(organism_directory("tiny-llama2-chat"))
    command = [sys.executable, "-m", "harness", "score", model, "--method", "magnitude", "--out", str(out)]
    both = [
        subprocess.Popen(command, env=environment(OMP_NUM_THREADS="1"), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    assert "exists already" in "".join(said)
    assert Measured.read(out).metadata["method"] == "magnitude"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("command", [("score", "--method", "snip"), ("subspaces",)])
def test_a_pair_that_does_not_fit_is_told_before_a_weight_is_read(command, checkpoint, tmp_path):
    broken = shutil.copytree(checkpoint, tmp_path / "model")
    (broken / "model.safetensors").write_bytes(b"no weights")
    data = tmp_path / "pairs.csv"
    data.write_text('prompt,response\nshort,yes\n"' + "word " * 5000 + '",yes\n')
    result = invoke(command[0], broken, *command[1:], "--data", data, "--out", tmp_path / "out.safetensors")
    assert result.exit_code == 2
    assert "pairs.csv:3: " in result.output and "no response is left" in result.output


def test_a_model_whose_config_names_no_context_is_bad_input(checkpoint, pairs_csv, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "bloom")
    (folder / "config.json").write_text(json.dumps({"model_type": "bloom", "hidden_size": 32, "n_layer": 2}))
    result = invoke("score", folder, "--method", "snip", "--data", pairs_csv, "--out", tmp_path / "scores")
    assert result.exit_code == 2
    assert "config.json gives no max_position_embeddings; expected a model like Llama" in result.output


@pytest.mark.parametrize("command", ["score", "subspaces", "edit", "run", "calibration"])
def test_an_out_that_cannot_be_written_ends_it_before_the_weights(command, checkpoint, pairs_csv, tmp_path, scores):
    folder = shutil.copytree(organism_directory("tiny-llama2-chat"), tmp_path / "model")
    (folder / "model.safetensors").unlink()
    out = ("--out", pairs_csv / "below")
    model = ("--model", "tiny-llama2-chat")
    arguments = {
        "score": (folder, "--method", "snip", "--data", pairs_csv),
        "subspaces": (folder, "--data", pairs_csv),
        "edit": (folder, "--select", "top", "--scores", scores[0], "--fraction", 0.1),
        "run": ("zero-asr", *model),
        "calibration": ("build", *model),
    }[command]
    result = invoke(command, *arguments, *out)
    assert result.exit_code == 2
    assert (
        f"below: cannot be written: {pairs_csv} is no folder; expected a path below a folder"
        in result.output.replace("/store", "")
    )
    assert not list(tmp_path.glob(".writable-*"))


@pytest.mark.skipif(sys.platform != "linux", reason="nobody writes below /proc")
def test_a_folder_that_takes_no_files_is_told_before_the_weights(checkpoint, tmp_path):
    result = invoke("score", checkpoint, "--method", "magnitude", "--out", "/proc/scores.safetensors")
    assert (result.exit_code, "/proc/scores.safetensors: cannot be written: " in result.output) == (2, True)


def test_scores_of_another_kind_end_an_edit_before_the_weights(checkpoint, scores, tmp_path):
    (checkpoint / "model.safetensors").rename(tmp_path / "away")
    try:
        result = invoke(
            "edit", checkpoint, "--select", "act-svd", "--gram", scores[0], "--rank", 1, "--out", tmp_path / "e"
        )
    finally:
        (tmp_path / "away").rename(checkpoint / "model.safetensors")
    assert (result.exit_code, "expected 'brittleness-harness gram" in result.output) == (2, True), result.output


def test_scores_of_other_shapes_and_a_share_without_a_weight_end_an_edit_before_the_weights(
    checkpoint, scores, tmp_path, monkeypatch
):
    monkeypatch.setattr("harness.runs.checkpoint_edits.load_directory", lambda _: pytest.fail("weights were loaded"))
    wrong = load_file(scores[0])
    wrong["model.layers.0.mlp.up_proj"] = wrong["model.layers.0.mlp.up_proj"].T.contiguous()
    save_file(wrong, tmp_path / "turned.safetensors")
    edit = ("edit", checkpoint, "--out", tmp_path / "e", "--select", "top")
    for arguments, says in [
        (("--fraction", 0.1, "--scores", tmp_path / "turned.safetensors"), "model.layers.0.mlp.up_proj is ("),
        (("--fraction", 1e-6, "--scores", scores[0]), "the region holds no weight of the model"),
    ]:
        result = invoke(*edit, *arguments)
        assert (result.exit_code, says in result.output) == (2, True), result.output
    assert not (tmp_path / "e").exists()
