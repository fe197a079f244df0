"""A variant as a record holds it."""

from harness.spec import locations
from harness.spec.finetuning import FineTuningSettings
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant


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
