"""A model in memory, as a notebook uses it: scores, a region, the model without it."""

import pytest
import torch

import harness
from harness.errors import UserError
from harness.formulas.selection import set_difference_mask
from harness.models.fingerprint import model_fingerprint


@pytest.fixture(scope="module")
def organism():
    return harness.load("tiny-llama2-chat")


@pytest.fixture(scope="module")
def measured(organism):
    sets = (("safety", "safety-full"), ("utility", "utility"))
    return {role: harness.score(organism, "snip", data, samples=16) for role, data in sets}


def test_a_set_difference_is_that_of_its_scores_and_is_removed_and_put_back(organism, measured):
    region = harness.select(organism, "set-difference", **measured, p=0.03, q=0.05)
    before = model_fingerprint(organism.model)
    with harness.removed(organism, region) as edit:
        assert model_fingerprint(organism.model) != before
    assert model_fingerprint(organism.model) == before
    assert edit.receipt.weights_selected == sum(int(mask.sum()) for mask in region.masks.values())
    assert 0 < edit.receipt.truth.recall < 1
    for name, mask in region.masks.items():
        utility, safety = (measured[role].tensors[name] for role in ("utility", "safety"))
        assert torch.equal(mask, set_difference_mask(utility, safety, 0.03, 0.05, "row"))


def test_the_comparison_group_is_the_callers(organism, measured):
    by_row, by_matrix = (
        harness.select(organism, "top", data=measured["safety"], fraction=0.05, comparison_group=group)
        for group in ("row", "matrix")
    )
    assert any(not torch.equal(by_row.masks[name], by_matrix.masks[name]) for name in by_row.masks)


def test_ranks_are_found_from_grams(organism):
    grams = harness.subspaces(organism, "utility", samples=8)
    with harness.removed(organism, harness.select(organism, "act-svd", data=grams, rank=1)) as edit:
        pass
    assert set(edit.receipt.rank_by_layer.values()) == {1}


def test_what_was_written_is_read_again(organism, measured, tmp_path):
    file = tmp_path / "safety.safetensors"
    found = type(measured["safety"]).read(measured["safety"].written(file) and file)
    assert found.samples == 16
    assert all(torch.equal(found.tensors[name], score) for name, score in measured["safety"].tensors.items())
    with pytest.raises(UserError, match="exists already"):
        harness.score(organism, "magnitude", out=file)


@pytest.mark.parametrize(
    ("selection", "given", "words"),
    [
        ("tip", {}, "did you mean 'top'"),
        ("planted", {}, "no selection from scores"),
        ("top", {"fraction": 0.1}, "top: data is None; expected what score or subspaces gave"),
        ("top", {"data": "scores", "fraction": 1.5}, "fraction"),
        ("top", {"data": "scores", "fraction": 0.1, "rank": 3}, "rank"),
        ("act-svd", {"data": "scores", "rank": 1}, "expected 'brittleness-harness grams 1'"),
    ],
)
def test_what_cannot_be_selected_is_said(organism, measured, selection, given, words):
    given = {key: measured["safety"] if value == "scores" else value for key, value in given.items()}
    with pytest.raises(UserError, match=words):
        harness.select(organism, selection, **given)


def test_scores_of_other_weights_are_refused(organism, measured):
    region = harness.select(organism, "top", data=measured["safety"], fraction=0.01)
    with harness.removed(organism, region):
        now = harness.score(organism, "magnitude")
    with pytest.raises(UserError, match="data: made for other weights"):
        harness.select(organism, "top", data=now, fraction=0.01)


def test_a_bare_checkpoint_is_a_model_too(checkpoint, pairs_csv):
    model = harness.load(checkpoint)
    assert model.variant is None and model.planted is None
    assert set(harness.score(model, "wanda", pairs_csv).tensors) == set(model.layers)


def test_bad_input_is_told_before_the_weights_are_loaded(tmp_path):
    with pytest.raises(UserError, match="needs --data"):
        harness.score(tmp_path, "snip")
    with pytest.raises(UserError, match=r"nowhere\.csv: no such file"):
        harness.score(tmp_path, "snip", tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match="did you mean 'tiny-llama2-chat'"):
        harness.load("tiny-llama2-chta")
