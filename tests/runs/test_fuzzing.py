"""Mutants of files: none ends in a traceback or an unknown exit code, and none goes on for ever."""

import json
import random

import pytest
import yaml

from tests.runs.fuzzing import Range
from tests.runs.fuzzing.mutants import GARBLED, Original

MUTANTS = {"spec": 800, "variant": 250, "golden": 400, "record": 450, "run": 250}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Range(tmp_path_factory.mktemp("fuzzing"))


@pytest.mark.parametrize("kind", MUTANTS)
def test_no_mutant_ends_in_a_traceback(place, kind):
    findings = [finding for seed in range(MUTANTS[kind]) if (finding := place.tried(kind, seed)) is not None]
    assert not findings, f"{len(findings)} findings, the first of seed {findings[0].seed}: {findings[0].where}"


@pytest.mark.parametrize("is_json", [True, False])
def test_a_mutant_is_made_of_the_file_and_leaves_it_as_it_was(is_json):
    content = {"id": "x", "values": [{"a": 1, "b": [1, 2]}, {"a": 2}], "more": {"c": {"d": 0.5}}}
    text = json.dumps(content) if is_json else yaml.dump(content, sort_keys=False)
    original, changed = Original(text.encode(), is_json), 0
    for seed in range(300):
        chance = random.Random(seed)
        mutant = original.mutant(chance)
        if random.Random(seed).random() >= GARBLED:
            read = json.loads(mutant) if is_json else yaml.safe_load(mutant)
            changed += read != content
    assert changed > 150
    assert original._tree == content
