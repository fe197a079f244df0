"""A variant as a record holds it."""

from harness.spec import locations
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
