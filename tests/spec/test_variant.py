"""A variant as a record holds it."""

import pytest

from harness.errors import UserError
from harness.spec import locations
from harness.spec.finetuning import FineTuningSettings
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelSource, ModelVariant


def test_a_record_has_relative_paths_whole_and_of_absolute_ones_the_last_component():
    shipped = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    assert shipped.as_record() == shipped.model_dump(mode="json", exclude_none=True)
    places = {
        "source": {"path": "/home/somebody/models/llama"},
        "planted_region": "/home/somebody/planted.safetensors",
        "datasets": {"safety": {"path": "/home/somebody/safety.csv"}, "utility": {"path": "../data/u.csv"}},
    }
    mine = ModelVariant.model_validate({**shipped.model_dump(exclude_none=True), **places}).as_record()
    assert mine["source"] == {"path": "llama"}
    assert mine["planted_region"] == "planted.safetensors"
    assert mine["datasets"] == {"safety": {"path": "safety.csv"}, "utility": {"path": "../data/u.csv"}}
    assert ModelVariant.model_validate(mine).name == shipped.name


def test_a_variant_sets_its_own_number_of_examples_but_gives_none_to_the_control_of_no_steps():
    shipped = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    mine = ModelVariant.model_validate({**shipped.model_dump(), "fine_tuning": {"full": {"examples": 7}}})
    declared = FineTuningSettings(method="full", dataset="utility", examples=50)
    assert mine.scaled(declared).examples == 7
    assert mine.scaled(declared.model_copy(update={"examples": 0})).examples == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"path": "a.csv", "source": "utility"},
        {"source": "utility", "sha256": "0" * 64},
        {"path": "a.csv", "system_prompt": True},
    ],
)
def test_a_data_set_has_one_origin_and_what_belongs_to_it(fields):
    with pytest.raises(ValueError, match="path"):
        DatasetFile.model_validate(fields)


def test_a_folder_takes_the_place_of_the_hub_but_not_of_an_organism(checkpoint, tmp_path):
    hub = load_yaml_model(locations.find_variant("llama3.2-1b-instruct"), ModelVariant)
    local = hub.with_weights(checkpoint)
    assert (local.source.path, local.source.repository) == (str(checkpoint.resolve()), None)
    assert local.as_record()["source"] == {"path": checkpoint.name}
    assert (local.name, local.datasets) == (hub.name, hub.datasets)
    with pytest.raises(UserError, match="no checkpoint is here"):
        hub.with_weights(tmp_path)
    with pytest.raises(UserError, match="is an organism, whose data lie beside its weights"):
        load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant).with_weights(checkpoint)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "/etc", "../x", "a/b/c", "a--b", "a..b", "a.git", "a@main", "a/-b", "a" * 97, "x\x1b/y", "é"]
)
def test_a_repository_is_called_as_the_hub_can_call_one(name):
    with pytest.raises(ValueError, match="no name of a repository on the hub; expected OWNER/NAME"):
        ModelSource(repository=name, revision="0" * 40)
    assert ModelSource(repository="meta-llama/Llama-3.2_1B", revision="0" * 40).repository
