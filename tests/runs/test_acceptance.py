import pytest
import yaml

from harness.errors import UserError
from harness.runs import acceptance
from harness.runs.judgement import golden_checks
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.result import Verdict


def test_accepted_values_let_the_same_record_pass(finished, tmp_path, monkeypatch):
    record = finished[0]
    monkeypatch.setattr(locations, "root", lambda: tmp_path)
    changes, golden = acceptance.accept(record, "first values")
    assert {change.old for change in changes} == {None}
    acceptance.write_golden(golden)
    path = locations.golden_path("tiny-llama2-chat", "small")
    assert load_yaml_model(path, GoldenFile) == golden
    assert yaml.safe_load(path.read_text())["source"]["reason"] == "first values"
    checks = golden_checks(BenchmarkSpec.model_validate(record.spec), record.cells, {}, golden)
    assert {check.status for check in checks} <= {"passed", "skipped_invalid"}
    again, _ = acceptance.accept(record, "again")
    assert all(change.old == change.new for change in again)


def test_no_tolerance_is_zero_or_wide_enough_for_anything(finished):
    _, golden = acceptance.accept(finished[0], "x")
    shares = [value for value in golden.values if value.tolerance.basis == "binomial"]
    assert shares
    assert all(0 < value.tolerance.width < 0.5 for value in shares)


def test_an_invalid_record_is_refused(finished):
    record = finished[0].model_copy(update={"verdict": Verdict(status="invalid", exit_code=3, reasons=("x: garbage",))})
    with pytest.raises(UserError, match="garbage"):
        acceptance.accept(record, "because")


def test_a_reason_is_needed(finished):
    with pytest.raises(UserError, match="reason"):
        acceptance.accept(finished[0], "  ")
