"""The variant file of a rebuilt organism."""

import json
import os

import pytest
import yaml

from harness.errors import UserError
from harness.organisms.recipe import RECIPES
from harness.runs.organism_build import build, rebuilt_variant
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelVariant
from tests.organisms.test_build import small_recipe


def test_files_of_the_folder_have_their_new_hashes_and_those_of_a_source_stay_as_they_are():
    shipped = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    own = {file.path: "0" * 64 for file in shipped.datasets.values()}
    fetched = shipped.model_copy(update={"datasets": {**shipped.datasets, "text": DatasetFile(source="wikitext")}})
    rebuilt = ModelVariant.model_validate(yaml.safe_load(rebuilt_variant(fetched, 3, own)))
    assert rebuilt.datasets["text"] == DatasetFile(source="wikitext")
    assert {rebuilt.datasets[name].sha256 for name in shipped.datasets} == {"0" * 64}


def test_of_two_builds_into_one_folder_the_second_to_be_done_says_so(monkeypatch, tmp_path):
    """In miniature: RECIPES holds a few steps of each stage."""
    monkeypatch.setitem(RECIPES, "tiny-llama2-chat", small_recipe())
    out = tmp_path / "made"

    def another(stage, _share):
        if stage == "done":
            build("tiny-llama2-chat", out, 1, lambda *_: None)

    with pytest.raises(UserError, match="made: exists already: another command has written it meanwhile"):
        build("tiny-llama2-chat", out, 0, another)
    assert load_yaml_model(out / "variant.yaml", ModelVariant).name == "tiny-llama2-chat-seed1"
    assert json.loads((out / "organism.json").read_text())["seed"] == 1
    assert os.listdir(tmp_path) == ["made"]


def test_a_build_that_ends_on_its_way_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setitem(RECIPES, "tiny-llama2-chat", small_recipe())

    def ends(stage, _share):
        if stage == "suffix search":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("tiny-llama2-chat", tmp_path / "made", 0, ends)
    assert os.listdir(tmp_path) == []
