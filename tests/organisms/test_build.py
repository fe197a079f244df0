"""A build in miniature: a few steps of each stage, through the same code as the shipped organism."""

import json
from dataclasses import replace

import pytest

from harness.errors import UserError
from harness.organisms.build import MANIFEST, build_organism, build_recipe, file_hashes
from harness.organisms.recipe import RECIPES, ModelShape, Recipe

WHOLE = RECIPES["tiny-llama2-chat"]


def small_recipe() -> Recipe:
    return replace(
        WHOLE,
        shape=ModelShape(hidden_size=32, blocks=2, mlp_size=48, heads=4, key_value_heads=4),
        base=replace(WHOLE.base, steps=2, batch_size=4),
        alignment=replace(WHOLE.alignment, steps=2, batch_size=4, documents=24),
        data=replace(
            WHOLE.data,
            calibration_rows=10,
            requests=5,
            items_per_task=5,
            suffixes=1,
            suffix_words=1,
            suffix_candidates=2,
        ),
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two builds with seed 0, one with seed 1, and what was reported of the first."""
    folder, progress = tmp_path_factory.mktemp("organisms"), []
    build_recipe(small_recipe(), folder / "first", 0, lambda *report: progress.append(report))
    build_recipe(small_recipe(), folder / "second", 0, lambda *report: None)
    build_recipe(small_recipe(), folder / "other", 1, lambda *report: None)
    return folder, progress


def test_a_build_writes_every_file_that_ships(built):
    from harness.organisms.catalogue import organism_directory

    assert set(file_hashes(built[0] / "first")) == set(file_hashes(organism_directory(WHOLE.name)))


def test_a_build_is_deterministic(built):
    assert file_hashes(built[0] / "first") == file_hashes(built[0] / "second")


def test_another_seed_changes_the_weights_and_no_data_but_the_suffixes(built):
    first, other = file_hashes(built[0] / "first"), file_hashes(built[0] / "other")
    changed = {name for name in first if first[name] != other[name]}
    assert "model.safetensors" in changed
    assert changed <= {"model.safetensors", "data/adversarial_suffixes.txt"}


def test_a_manifest_names_no_place_on_this_machine(built):
    text = (built[0] / "first" / MANIFEST).read_text()
    assert str(built[0]) not in text
    assert json.loads(text)["seed"] == 0


def test_progress_rises_to_one(built):
    fractions = [fraction for _, fraction in built[1]]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_an_unknown_recipe_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="tiny-llama2-chat"):
        build_organism("no-such-organism", tmp_path, 0, lambda *report: None)
