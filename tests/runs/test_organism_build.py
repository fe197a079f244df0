"""The variant file of a rebuilt organism."""

import yaml

from harness.runs.organism_build import rebuilt_variant
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelVariant


def test_files_of_the_folder_have_their_new_hashes_and_those_of_a_source_stay_as_they_are():
    shipped = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    own = {file.path: "0" * 64 for file in shipped.datasets.values()}
    fetched = shipped.model_copy(update={"datasets": {**shipped.datasets, "text": DatasetFile(source="wikitext")}})
    rebuilt = ModelVariant.model_validate(yaml.safe_load(rebuilt_variant(fetched, 3, own)))
    assert rebuilt.datasets["text"] == DatasetFile(source="wikitext")
    assert {rebuilt.datasets[name].sha256 for name in shipped.datasets} == {"0" * 64}
