"""Mutants of files: none ends in a traceback or an unknown exit code, and none goes on for ever."""

import pytest

from tests.runs.fuzzing import Range

MUTANTS = {"spec": 800, "variant": 150, "golden": 350, "record": 450, "run": 250}


@pytest.fixture(scope="module")
def place(finished, small_spec, tmp_path_factory):
    return Range(tmp_path_factory.mktemp("fuzzing"), finished[1].parent, small_spec)


@pytest.mark.parametrize("kind", MUTANTS)
def test_no_mutant_ends_in_a_traceback(place, kind):
    findings = [finding for seed in range(MUTANTS[kind]) if (finding := place.tried(kind, seed)) is not None]
    assert not findings, f"{len(findings)} findings, the first of seed {findings[0].seed}: {findings[0].where}"
