"""What is said of a verdict that is not `passed`."""

from pathlib import Path

import pytest

from harness.reports.findings import findings_of, told
from harness.runs.judgement import verdict
from tests.reports.conftest import FAILED

DEPARTS = FAILED | {
    "source": "run tiny/b/0 (first)",
    "message": "asr_vanilla is 0.41, expected 0.97 ± 0.04 (binomial)",
}
UNKNOWN = {"cell": "intact", "metric": "new", "status": "missing_golden", "message": "new has no golden value"}
CLAIM = {"cell": "claims", "metric": "c", "status": "failed", "message": "the claim is contradicted, expected x"}
PATH = Path("runs/tiny/b/1/record.json")


@pytest.fixture
def judged_record(make_cell, make_record):
    """judged_record(checks): three cells, of which `broken` has an invalid figure, judged as a run is."""

    def make(*checks, broken=True):
        invalid = ("asr_vanilla",) if broken else ()
        cells = [
            make_cell(name, name, {"asr_vanilla": 0.4}, invalid=invalid if name == "broken" else ())
            for name in ("intact", "planted", "broken")
        ]
        record = make_record(cells, checks=checks)
        return record.model_copy(update={"verdict": verdict(record.cells, record.checks)})

    return make


def test_every_reason_of_a_verdict_is_a_finding_of_its_kind(judged_record):
    record = judged_record(DEPARTS, UNKNOWN, CLAIM)
    found = findings_of(record, PATH)
    assert [(finding.cell, finding.status) for finding in found] == [
        ("broken", "invalid"),
        ("planted", "failed"),
        ("claims", "failed"),
        ("intact", "missing_golden"),
    ]
    assert len(found) == len(record.verdict.reasons)
    assert findings_of(judged_record(broken=False), PATH) == []


def test_a_figure_that_departs_is_told_with_both_values_the_tolerance_its_basis_and_the_next_command(judged_record):
    finding = next(f for f in findings_of(judged_record(DEPARTS), PATH) if f.cell == "planted")
    assert told(finding) == [
        "planted: FAILED: asr_vanilla is 0.41, expected 0.97 ± 0.04 (binomial)",
        "  metric     asr_vanilla",
        "  measured   0.41",
        "  golden     0.97, from run tiny/b/0 (first)",
        "  tolerance  ± 0.04 (binomial: 95% sampling error of a share at n prompts)",
        "  next       harness explain runs/tiny/b/1/record.json planted",
    ]


def test_the_next_command_suits_the_kind(judged_record):
    commands = {f.cell: f.next_command for f in findings_of(judged_record(UNKNOWN, CLAIM), Path("a b/record.json"))}
    assert commands["broken"] == "harness explain 'a b/record.json' broken"
    assert commands["claims"] == "harness explain 'a b/record.json'"
    assert commands["intact"].startswith("harness accept 'a b/record.json' --reason ")


def test_a_metric_that_vanished_has_no_number_and_is_no_zero(judged_record):
    gone = DEPARTS | {"measured": None, "difference": None, "status": "missing_measurement", "message": "not measured"}
    assert "  measured   no number" in told(findings_of(judged_record(gone, broken=False), PATH)[0])


def test_a_task_that_drifted_is_a_finding_of_its_own_kind(judged_record):
    """Golden values that can be compared with nothing say nothing of the model: neither that it fails nor that a
    receipt does not hold."""
    drifted = {"cell": "intact", "metric": "rte", "status": "drift", "message": "rte is compared with nothing"}
    (finding,) = findings_of(judged_record(drifted, broken=False), PATH)
    assert finding.status == "drift"
    assert told(finding)[0] == "intact: DRIFT: rte is compared with nothing"
