"""What becomes of a fault depends on who raised the alarm."""

import json

import pytest

from harness.errors import UserError
from harness.faults import document, suite
from harness.faults.base import Alarm, Outcome, refusal
from harness.faults.suite import Done, Job, alarms_of, judged
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.faults import CleanRun, FaultReport, FaultResult
from harness.spec.loading import load_yaml_model
from harness.spec.receipt import StageReceipt
from harness.spec.result import RunRecord


@pytest.mark.parametrize(
    ("by", "detection", "told"),
    [
        ((), "missed", None),
        (("mask/sparsity",), "caught", "mask/sparsity"),
        (("validity", "mask/sparsity"), "caught", "mask/sparsity"),
        (("validity", "canary/repeat"), "by_accident", "validity"),
    ],
)
def test_a_fault_is_caught_only_by_what_is_there_for_it(by, detection, told):
    found, alarm = judged([Alarm(name, "words") for name in by], ("mask/sparsity", "mask/hash"))
    assert (found, alarm and alarm.by) == (detection, told)


def test_a_refusal_is_an_alarm_and_work_that_goes_through_is_none():
    def refuse():
        raise UserError("no")

    assert refusal("validate", refuse) == Outcome("refused", (Alarm("validate", "no"),))
    assert refusal("validate", lambda: None) == Outcome("passed")


def test_a_records_alarms_name_the_receipt_and_count_its_cell_once(finished):
    record: RunRecord = finished[0]
    assert list(alarms_of(record)) == []  # the destroyed cell is meant to be invalid
    broken = StageReceipt(stage="mask", name="sparsity", holds=False, expected="1%", seen="50%", advice="look at p")
    intact, planted, *rest = record.cells
    invalid = [m.model_copy(update={"valid": False, "reason": "degenerate"}) for m in planted.measurements[:1]]
    cells = (
        intact.model_copy(update={"receipts": (broken,), "measurements": tuple(invalid)}),
        planted.model_copy(update={"measurements": tuple(invalid)}),
        *rest,
    )
    canary = broken.model_copy(update={"stage": "canary", "name": "repeat"})
    found = list(alarms_of(record.model_copy(update={"cells": cells, "canaries": (canary,)})))
    assert [alarm.by for alarm in found] == ["canary/repeat", "mask/sparsity", "validity"]
    assert "intact: mask/sparsity: expected 1%, saw 50%" in found[1].words


def test_every_draw_of_the_benchmark_follows_the_seed():
    spec = load_yaml_model(suite.SPEC, BenchmarkSpec)
    seeded = json.loads(suite._seeded(spec, 7).model_dump_json())
    seeds = [
        *(each["seed"] for each in seeded["calibration"].values()),
        seeded["validity"]["seed"],
        *(each["seed"] for each in seeded["evaluations"] if "seed" in each),
        *(each["fine_tuning"]["seed"] for each in seeded["cells"] if each["fine_tuning"]),
    ]
    assert len(seeds) == 10
    assert set(seeds) == {7}


def fault_result(**facts):
    return FaultResult(
        **{
            "name": "f",
            "number": 4,
            "title": "mask | transposed",
            "detection": "caught",
            "verdict": "invalid",
            "published": {"top": (0.25, 1.0)},
            "by": "mask/axes",
            "said": "words",
            "caught_by": ("mask/axes",),
            "others": (),
            "seconds": 1.0,
            "stage": "mask",
            "figures": 44,
            "changed": 31,
            "named": True,
            **facts,
        }
    )


def report(*faults, alarms=()):
    clean = CleanRun(variant="v", seed=0, alarms=alarms, seconds=1.0)
    return FaultReport(variant="v", started="now", git_commit=None, faults=faults, clean=(clean,), seconds=2.0)


def test_the_suite_passes_only_if_all_is_caught_and_nothing_else_is_called_a_fault():
    assert report(fault_result()).passed
    assert not report(fault_result(), alarms=("mask/axes: words",)).passed
    assert not report(fault_result(), fault_result(detection="by_accident")).passed
    assert not report(fault_result(detection="missed", by=None, said=None)).passed


def test_a_table_has_a_row_for_each_fault_with_its_detection():
    text = document.markdown(report(fault_result(), fault_result(detection="missed", by=None, said=None)))
    assert text.startswith("1 of 2 faults on `v`")
    row = "| 4 | mask | mask \\| transposed | 31 of 44 | top 1.00 (else 0.25) | invalid | words | mask/axes |"
    assert f"{row} receipts | yes |" in text
    assert "| nothing | **missed** | nobody |" in text


def test_a_fault_that_changes_no_figure_is_listed_as_such():
    text = document.markdown(report(fault_result(), fault_result(title="idle", changed=0)))
    assert "; 1 of them change no figure (idle); of 1 runs" in text
    assert "| idle | none of 44 |" in text


@pytest.mark.parametrize(
    ("by", "who"), [("verification", "verification"), ("canary/repeat", "canaries"), ("load", "load")]
)
def test_who_caught_a_fault_is_said(by, who):
    assert fault_result(by=by).who == who
    assert f"| {who} | no |" in document.markdown(report(fault_result(by=by, named=False)))


def test_a_run_under_a_fault_is_compared_with_the_one_without(tmp_path):
    job = Job("row_for_matrix", tmp_path, 0, tmp_path)
    said = "they were compared over each row"
    figures = {("top", "a"): 0.0, ("top", "b"): 1.0, ("new", "a"): 1.0}
    wrong = Outcome(
        "invalid", (Alarm("mask/share", said), Alarm("validity", "v")), {"intact": 0.0, "top": 0.0}, figures
    )
    right = Outcome("passed", (), {"intact": 0.0, "top": 1.0, "other": 1.0}, {**figures, ("top", "a"): 1.0})
    result = suite._result(Done(job, wrong, 1.0), right)
    assert (result.stage, result.changed, result.figures, result.named) == ("mask", 1, 3, True)
    assert result.published == {"top": (1.0, 0.0)}
    assert (result.detection, result.by, result.others) == ("caught", "mask/share", ("validity",))
