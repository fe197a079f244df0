"""A cell of older code, or of other data, on its way into a run: it is not taken up, or the second reading says so."""

import shutil
from dataclasses import replace

import pytest

from harness.faults.seam import replaced
from harness.runs import computed_by
from harness.spec.manifest import CANARIES_MADE_BY
from tests.faults.conftest import INTACT, bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: resumed
title: A run that was interrupted
source: {work: test}
cells:
  - {id: intact, title: Intact}
  - {id: random, title: Random weights, region: {select: top, method: random}, grid: {fraction: [0.02, 0.03]}}
evaluations: [{kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}]
golden_values: none
"""
RANDOM = {"random_fraction0.02", "random_fraction0.03"}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """(benchmark, folder of all runs, folder of the run)."""
    out = tmp_path_factory.mktemp("resumed")
    bound = bound_on("tiny-llama2-chat", out, SPEC)
    record, path = run_in_process(bound, out / "runs")
    assert record.verdict.status == "passed", record.verdict.reasons
    return bound, out / "runs", path.parent


@pytest.fixture
def interrupted(ended, tmp_path, monkeypatch):
    """(benchmark, folder of all runs) of a run without its record, where the code of the method is another one now."""
    bound, out, folder = ended
    shutil.copytree(out, tmp_path / "runs")
    (tmp_path / "runs" / folder.relative_to(out) / "record.json").unlink()
    code = computed_by._code

    def changed(roots, named):
        found = code(roots, named)
        return {**found, "source": "another"} if ("attribution", "random") in named else found

    monkeypatch.setattr(computed_by, "_code", changed)
    return bound, tmp_path / "runs"


def none_is_outdated(right):
    return lambda *given: {}


def whatever_made_them(right):
    return lambda self, result: False


def test_without_a_fault_it_is_measured_anew_and_passes(interrupted):
    record, _ = run_in_process(*interrupted)
    assert record.verdict.status == "passed", record.verdict.reasons
    assert {*record.provenance.measured_anew} == RANDOM


def test_a_cell_that_is_not_seen_to_be_outdated_does_not_count_by_its_own_key(interrupted):
    with replaced("harness.runs.journal:take_away_outdated", none_is_outdated):
        record, _ = run_in_process(*interrupted)
    assert record.verdict.status == "passed", record.verdict.reasons
    assert {*record.provenance.measured_anew} == RANDOM
    assert all("of other code or data" in why for why in record.provenance.measured_anew.values())


def test_one_that_is_taken_up_all_the_same_does_not_verify(interrupted):
    with (
        replaced("harness.runs.journal:take_away_outdated", none_is_outdated),
        replaced("harness.runs.journal:Journal._is_of_other_code", whatever_made_them),
    ):
        record, _ = run_in_process(*interrupted)
    assert record.provenance.resumed == 3
    assert (record.verdict.status, record.verdict.exit_code) == ("invalid", 3)
    words = "of what decided them when it was measured of random_fraction0.02"
    assert any(words in reason for reason in record.verdict.reasons), record.verdict.reasons


@pytest.fixture
def older_canaries(tmp_path):
    """(benchmark, folder of all runs) of a run without its record, whose canaries rest on something else by now."""
    bound = bound_on("tiny-llama2-chat", tmp_path, INTACT)
    record, path = run_in_process(bound, tmp_path / "runs")
    assert record.verdict.status == "passed", record.verdict.reasons
    path.unlink()
    return bound, tmp_path / "runs"


def of_other_code(right):
    return lambda *asked: f"another {right(*asked)}"


def canaries_are_kept(right):
    return lambda folder, run, made, now: right(folder, run, {**made, "canaries": now["canaries"]}, now)


def test_canaries_that_are_not_seen_to_be_outdated_do_not_count_by_their_own_key(older_canaries):
    made_anew = []

    def counted(right):
        return lambda *asked: made_anew.append(1) or right(*asked)

    with (
        replaced("harness.runs.pipeline:canaries_key", of_other_code),
        replaced("harness.runs.journal:take_away_outdated", canaries_are_kept),
        replaced("harness.runs.workbench:measure_canaries", counted),
    ):
        record, _ = run_in_process(*older_canaries)
    assert record.verdict.status == "passed", record.verdict.reasons
    assert made_anew


def test_canaries_that_are_taken_up_all_the_same_do_not_verify(older_canaries):
    bound, out = older_canaries

    def as_they_are(right):
        def canaries(self):
            return right(replace(self, canaries_key=(self.directory / CANARIES_MADE_BY).read_text()))

        return canaries

    with (
        replaced("harness.runs.pipeline:canaries_key", of_other_code),
        replaced("harness.runs.journal:take_away_outdated", canaries_are_kept),
        replaced("harness.runs.journal:Journal.canaries", as_they_are),
        replaced("harness.runs.journal:Journal.write_canaries", lambda right: lambda self, canaries: None),
    ):
        record, _ = run_in_process(bound, out)
    assert record.verdict.status == "invalid"
    assert any("of what decided the canaries" in reason for reason in record.verdict.reasons), record.verdict.reasons


def test_cells_in_another_order_do_not_verify(ended, tmp_path):
    with replaced("harness.runs.sharing:Run.results", lambda right: lambda self: right(self)[::-1]):
        record, _ = run_in_process(ended[0], tmp_path / "runs")
    assert record.verdict.status == "invalid"
    assert any("cell order of the run" in reason for reason in record.verdict.reasons), record.verdict.reasons


def test_cells_that_are_shared_by_mistake_do_not_verify(ended, tmp_path):
    def alike(right):
        return lambda bound, cell, surroundings: right(bound, bound.cells[-1] if cell.region else cell, surroundings)

    with replaced("harness.runs.sharing:cell_key", alike):
        record, _ = run_in_process(ended[0], tmp_path / "runs")
    assert record.verdict.status == "invalid"
    assert any("cell random_fraction0.0" in reason for reason in record.verdict.reasons), record.verdict.reasons


def test_a_key_without_the_code_does_not_verify(tmp_path):
    """Two versions of one method would share their cells."""
    bound = bound_on("tiny-llama2-chat", tmp_path, SPEC)

    def without_code(right):
        return lambda content: right({name: part for name, part in content.items() if name != "code"})

    with replaced("harness.runs.keys:digest", without_code):
        record, _ = run_in_process(bound, tmp_path / "runs")
    assert record.verdict.status == "invalid"
    assert any("of what decides its figures of intact" in reason for reason in record.verdict.reasons)
