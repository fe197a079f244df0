"""Golden values that are others, or fewer, than those that are installed: a run compared with them is INVALID."""

import pytest
import yaml

from harness.faults.seam import replaced
from harness.spec import locations
from harness.spec.golden import GoldenSource
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: in-force
title: A perplexity with a golden value
source: {work: test}
cells: [{id: intact, title: Intact}]
evaluations: [{kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}]
golden_values: none
"""
VARIANT = "tiny-llama2-chat"
OTHER = GoldenSource(record="another/run")
NAMED = "values that were in force as it began"


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """compared(): a run that is bound while one golden value of it is installed, which is twice what is measured."""
    installed = tmp_path / "catalogue" / "golden" / VARIANT / "in-force.yaml"
    installed.parent.mkdir(parents=True)
    width = {"width": 0.1, "basis": "hardware_spread"}
    value = {"cell": "intact", "metric": "perplexity", "value": 10.0, "tolerance": width}
    task = {"version": "1.0", "sha256": "0" * 64, "items": 5}
    golden = {"variant": VARIANT, "benchmark": "in-force", "source": {"record": "by/hand/1"}, "values": [value]}
    installed.write_text(yaml.safe_dump({**golden, "tasks": {"sums": task}}), encoding="utf-8")
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path / "catalogue"))

    def run():
        record, _ = run_in_process(bound_on(VARIANT, tmp_path, SPEC), tmp_path / "runs")
        return record.verdict.status, " ".join(record.verdict.reasons)

    return run


def test_without_a_fault_it_fails_and_verifies(compared):
    status, reasons = compared()
    assert status == "failed"
    assert NAMED not in reasons


def of_another_source(golden):
    """Those of another model or of another run, which is near by chance."""
    values = tuple(value.model_copy(update={"source": OTHER, "value": 5.0}) for value in golden.values)
    values = tuple(v.model_copy(update={"tolerance": v.tolerance.model_copy(update={"width": 4.0})}) for v in values)
    return golden.model_copy(update={"source": OTHER, "values": values})


@pytest.mark.parametrize(
    "lose",
    [
        of_another_source,
        lambda golden: golden.model_copy(update={"variant": "tiny-llama3-instruct"}),
        lambda golden: golden.model_copy(update={"values": ()}),
        lambda golden: golden.model_copy(update={"tasks": {}}),
        lambda golden: None,
    ],
    ids=["another source", "another model", "no values", "no tasks", "none"],
)
def test_values_that_are_not_those_installed_do_not_verify(compared, lose):
    def wrong(right):
        return lambda *place: lose(right(*place))

    with replaced("harness.runs.binding:load_golden", wrong):
        status, reasons = compared()
    assert status == "invalid"
    assert NAMED in reasons
