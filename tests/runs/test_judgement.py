import math

import pytest

from harness.errors import UserError
from harness.runs.binding import load_golden
from harness.runs.claims import evaluate_claim
from harness.runs.judgement import claim_checks, golden_checks, verdict
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec, CellGroup
from harness.spec.claim import Claim
from harness.spec.golden import GoldenFile
from harness.spec.measurement import Measurement
from harness.spec.receipt import EditReceipt, StageReceipt
from tests.by_hand import cell_result

SPEC = BenchmarkSpec.model_validate(
    {
        "id": "b",
        "title": "B",
        "source": {"work": "w"},
        "cells": [{"id": "intact", "title": "I"}],
        "evaluations": [{"kind": "perplexity", "dataset": "t", "window_tokens": 8}],
    }
)


def cell(value=0.5, valid=True, expected=None, metric="asr", interval=None, cell_id="intact"):
    measured = Measurement(
        metric=metric, value=value, n=100, valid=valid, reason=None if valid else "degenerate", interval=interval
    )
    return cell_result(cell_id, measurements=(measured,), invalid_is_expected=expected)


def golden(value=0.5, valid=True, metric="asr"):
    return GoldenFile.model_validate(
        {
            "variant": "v",
            "benchmark": "b",
            "values": [
                {
                    "cell": "intact",
                    "metric": metric,
                    "value": value,
                    "valid": valid,
                    "tolerance": {"width": 0.1, "basis": "binomial"},
                    "source": {"record": "r"},
                }
            ],
        }
    )


def outcome(cells, values):
    checks = golden_checks(SPEC, cells, {}, values)
    return verdict(cells, checks).status


@pytest.mark.parametrize(
    ("cells", "values", "status"),
    [
        ([cell(0.55)], golden(), "passed"),
        ([cell(0.61)], golden(), "failed"),
        ([cell(0.39)], golden(), "failed"),
        ([cell(None)], golden(), "failed"),
        ([cell(math.nan)], golden(), "failed"),
        ([cell(0.5)], golden(metric="other"), "failed"),
        ([], golden(), "failed"),
        ([cell(0.5)], None, "missing_golden"),
        ([cell(0.5, valid=False)], golden(), "invalid"),
        ([cell(0.5, valid=False, expected="meant to")], golden(), "failed"),
        ([cell(0.0, valid=False, expected="meant to")], golden(valid=False), "passed"),
        ([cell(0.5)], golden(valid=False), "failed"),
    ],
)
def test_verdicts(cells, values, status):
    assert outcome(cells, values) == status


def test_an_invalid_value_is_compared_with_nothing():
    (check,) = golden_checks(SPEC, [cell(0.0, valid=False, expected="meant to")], {}, golden(valid=False))
    assert check.status == "skipped_invalid"


def claim(quantifier="any", **condition):
    return Claim.model_validate(
        {
            "id": "c",
            "section": "1",
            "says": "s",
            "quantifier": quantifier,
            "cells": ["a", "b"],
            "conditions": [{"metric": "asr", **condition}],
        }
    )


@pytest.mark.parametrize(
    ("low", "high", "status"), [(0.85, 0.95, "supported"), (0.5, 0.7, "contradicted"), (0.7, 0.9, "underpowered")]
)
def test_a_claim_is_decided_by_the_interval(low, high, status):
    cells = [cell((low + high) / 2, interval=(low, high), cell_id="a")]
    assert evaluate_claim(claim(at_least=0.8), cells).status == status


def test_any_needs_one_cell_and_all_needs_every_cell():
    cells = [cell(0.9, interval=(0.85, 0.95), cell_id="a"), cell(0.1, interval=(0.05, 0.2), cell_id="b")]
    assert evaluate_claim(claim("any", at_least=0.8), cells).status == "supported"
    assert evaluate_claim(claim("all", at_least=0.8), cells).status == "contradicted"


def test_an_invalid_measurement_neither_supports_nor_contradicts():
    cells = [cell(1.0, valid=False, interval=(0.96, 1.0), cell_id="a")]
    result = evaluate_claim(claim(at_least=0.8), cells)
    assert result.status == "underpowered"
    assert "degenerate" in result.evidence


def receipt(**facts):
    return EditReceipt(
        weights_total=100, fingerprint_before="b", fingerprint_edited="e", fingerprint_restored="b", **facts
    )


@pytest.mark.parametrize(
    ("bound", "facts", "status"),
    [
        ({"sparsity_below": 0.03}, {"sparsity": 0.02}, "supported"),
        ({"sparsity_below": 0.03}, {"sparsity": 0.03}, "not_evaluated"),
        ({"sparsity_below": 0.03}, {"rank_share": 0.01}, "not_evaluated"),
        ({"rank_share_below": 0.025}, {"rank_share": 0.02}, "supported"),
        ({"rank_share_below": 0.025}, {"rank_share": 0.025}, "not_evaluated"),
        ({"rank_share_below": 0.025}, {"sparsity": 0.01}, "not_evaluated"),
    ],
)
def test_a_claim_on_small_edits_looks_at_no_larger_one_and_at_none_without_the_figure(bound, facts, status):
    measured = cell(0.9, interval=(0.85, 0.95), cell_id="a").model_copy(update={"receipt": receipt(**facts)})
    assert evaluate_claim(claim(at_least=0.8).model_copy(update=bound), [measured]).status == status


def test_a_cell_without_an_edit_is_no_small_edit():
    bounded = claim(at_least=0.8).model_copy(update={"rank_share_below": 0.5})
    assert evaluate_claim(bounded, [cell(0.9, interval=(0.85, 0.95), cell_id="a")]).status == "not_evaluated"


def test_a_reference_brings_its_own_uncertainty():
    cells = [cell(0.5, interval=(0.4, 0.6), cell_id="a"), cell(0.5, interval=(0.4, 0.6), cell_id="intact")]
    assert evaluate_claim(claim(at_least={"cell": "intact"}), cells).status == "underpowered"
    assert evaluate_claim(claim(at_least={"cell": "intact", "plus": -0.3}), cells).status == "supported"


def two_metrics(mlp, attention, cell_id="a"):
    measured = [
        Measurement(metric=metric, value=sum(interval) / 2, n=4, interval=interval)
        for metric, interval in (("mlp", mlp), ("attention", attention))
    ]
    return cell(cell_id=cell_id).model_copy(update={"measurements": tuple(measured)})


def below(**reference):
    return Claim.model_validate(
        {
            "id": "c",
            "section": "4.3",
            "says": "s",
            "quantifier": "all",
            "cells": ["a"],
            "conditions": [{"metric": "mlp", "at_most": reference}],
        }
    )


@pytest.mark.parametrize(
    ("mlp", "attention", "status"),
    [
        ((0.2, 0.3), (0.4, 0.5), "supported"),
        ((0.4, 0.5), (0.2, 0.3), "contradicted"),
        ((0.2, 0.4), (0.3, 0.5), "underpowered"),
        ((0.3, 0.3), (0.4, 0.4), "supported"),  # exact figures need no interval
        ((0.4, 0.4), (0.3, 0.3), "contradicted"),
    ],
)
def test_a_bound_can_be_another_metric_of_the_same_cell(mlp, attention, status):
    result = evaluate_claim(below(metric="attention"), [two_metrics(mlp, attention)])
    assert result.status == status
    assert "from attention" in result.evidence


def test_the_same_cell_is_the_one_that_the_condition_is_about():
    """0.25 is below the attention layers of cell b and above those of cell a: only a decides."""
    cells = [two_metrics((0.25, 0.25), (0.9, 0.9), "b"), two_metrics((0.25, 0.25), (0.1, 0.1), "a")]
    assert evaluate_claim(below(metric="attention"), cells).status == "contradicted"
    assert evaluate_claim(below(metric="attention", cell="b"), cells).status == "supported"
    assert evaluate_claim(below(metric="attention", plus=0.2), cells).status == "supported"


def test_a_metric_that_the_bound_needs_and_nobody_measured_decides_nothing():
    result = evaluate_claim(below(metric="attenion"), [two_metrics((0.2, 0.2), (0.4, 0.4))])
    assert (result.status, result.evidence) == ("underpowered", "a: a: attenion was not measured")


def test_a_bound_without_cell_and_metric_is_refused():
    with pytest.raises(ValueError, match="give the cell or the metric"):
        below(plus=0.1)


def test_a_claim_with_another_outcome_than_expected_fails_the_run():
    spec = SPEC.model_copy(update={"claims": (claim(at_least=0.8),)})
    result = evaluate_claim(claim(at_least=0.8), [cell(0.1, interval=(0.05, 0.2), cell_id="a")])
    expected = GoldenFile(variant="v", benchmark="b", values=(), claims={"c": "supported"})
    assert [check.status for check in claim_checks(spec, [result], {}, expected)] == ["failed"]
    assert [check.status for check in claim_checks(spec, [result], {}, None)] == ["missing_golden"]


def test_a_claim_that_only_the_golden_file_knows_fails_the_run():
    known = GoldenFile(variant="v", benchmark="b", values=(), claims={"gone": "supported"})
    (check,) = claim_checks(SPEC, [], {}, known)
    assert (check.status, check.metric) == ("failed", "gone")
    assert "the spec has no such claim" in check.message
    assert verdict([], [check]).status == "failed"


CONTROLLED = SPEC.model_copy(
    update={
        "cells": (
            *SPEC.cells,
            CellGroup(id="planted", title="P", region={"select": "planted"}),
            CellGroup(
                id="random", title="R", region={"select": "top", "method": "random"}, grid={"fraction": [0.1, 0.2]}
            ),
        ),
        "claims": (claim(at_least=0.8).model_copy(update={"cells": ("planted", "random"), "expect": "supported"}),),
    }
)


@pytest.mark.parametrize(
    ("skipped", "statuses"),
    [
        ([], ["failed"]),
        (["planted"], ["failed"]),
        (["planted", "random_fraction0.1"], ["failed"]),
        (["planted", "random_fraction0.1", "random_fraction0.2"], []),
    ],
)
def test_a_control_that_is_not_evaluated_fails_unless_the_variant_has_none_of_its_cells(skipped, statuses):
    result = evaluate_claim(CONTROLLED.claims[0], [cell()])
    assert result.status == "not_evaluated"
    checks = claim_checks(CONTROLLED, [result], dict.fromkeys(skipped, "why"), None)
    assert [check.status for check in checks] == statuses


@pytest.mark.parametrize(
    ("variant", "benchmark", "wrong"),
    [("w", "b", "variant is 'w'; expected 'v'"), ("v", "c", "benchmark is 'c'; expected 'b'")],
)
def test_a_golden_file_in_the_wrong_place_is_refused(tmp_path, monkeypatch, variant, benchmark, wrong):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    path = locations.golden_target("v", "b")
    path.parent.mkdir(parents=True)
    path.write_text(f"variant: {variant}\nbenchmark: {benchmark}\nvalues: []\n")
    with pytest.raises(UserError, match=wrong):
        load_golden("v", "b")
    path.write_text("variant: v\nbenchmark: b\nvalues: []\n")
    assert load_golden("v", "b").values == ()
    assert load_golden("v", "other") is None


def step(holds):
    return StageReceipt(stage="mask", name="sparsity", holds=holds, expected="1%", seen="50%", advice="look at p")


def test_a_receipt_that_does_not_hold_makes_the_run_invalid_and_says_what_was_seen():
    bare = cell()
    assert verdict([bare.model_copy(update={"receipts": (step(True),)})], []).status == "passed"
    broken = verdict([bare.model_copy(update={"receipts": (step(True), step(False))})], [])
    assert (broken.status, broken.exit_code) == ("invalid", 3)
    assert broken.reasons == ("intact: mask/sparsity: expected 1%, saw 50%; look at p",)
    # That a cell is meant to break the model excuses no step that did something else than it says.
    excused = cell(expected="meant to break").model_copy(update={"receipts": (step(False),)})
    assert verdict([excused], []).status == "invalid"


def test_a_cause_is_told_once_however_many_figures_it_takes_along():
    broken = step(holds=False)
    lost = [
        Measurement(metric=name, value=0.5, n=100, valid=False, reason=broken.words)
        for name in ("asr", "answered", "accuracy")
    ]
    spoilt = cell().model_copy(update={"receipts": (broken,), "measurements": tuple(lost)})
    reasons = verdict([spoilt], golden_checks(SPEC, [spoilt], {}, golden())).reasons
    assert reasons[:2] == (
        f"intact: {broken.words}",
        "intact: 3 figures, first asr, are invalid, by the receipt mask/sparsity",
    )
    assert not [reason for reason in reasons if "asr was valid" in reason]


def test_a_canary_that_does_not_hold_makes_the_run_invalid():
    assert verdict([cell()], [], [step(True)]).status == "passed"
    assert verdict([cell()], [], [step(False)]).reasons[0].startswith("canary: mask/sparsity: expected 1%")


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_figure_without_a_number_that_no_check_has_failed_makes_the_run_invalid(value, monkeypatch):
    assert verdict([cell(value)], []).status == "invalid"
    assert "intact: asr has no value that is a number" in verdict([cell(value)], []).reasons[0]
    # A comparison that NaN passes is found out, too.
    monkeypatch.setattr("harness.runs.judgement.within_tolerance", lambda measured, golden, width: True)
    assert verdict([cell(value)], golden_checks(SPEC, [cell(value)], {}, golden())).status == "invalid"


ZERO_SHOT = BenchmarkSpec.model_validate(
    {
        "id": "b",
        "title": "B",
        "source": {"work": "w"},
        "cells": [{"id": "intact", "title": "I"}],
        "evaluations": [{"kind": "zero_shot", "name": "accuracy", "limit": 200}],
        "claims": [
            {
                "id": "accurate",
                "section": "1",
                "says": "s",
                "quantifier": "all",
                "cells": ["intact"],
                "conditions": [{"metric": "accuracy_mean", "at_least": 0.4}],
            }
        ],
    }
)
HASH, OTHER = "a" * 64, "b" * 64


def task_cell(words, values=(0.5, 0.5), items=200):
    metrics = ("accuracy_boolq", "accuracy_mean")
    measured = tuple(
        Measurement(metric=metric, value=value, n=items, interval=(value - 0.05, value + 0.05))
        for metric, value in zip(metrics, values, strict=True)
    )
    return cell().model_copy(update={"measurements": measured, "task_hashes": {"boolq": words}})


def task_golden(publication=None, tasks=True):
    source = {"publication": publication} if publication else {"record": "r"}
    entry = {"cell": "intact", "value": 0.5, "tolerance": {"width": 0.1, "basis": "binomial"}, "source": source}
    return GoldenFile.model_validate(
        {
            "variant": "v",
            "benchmark": "b",
            "claims": {"accurate": "supported"},
            "tasks": {"boolq": {"version": "2.0", "sha256": HASH, "items": 200}} if tasks else {},
            "values": [{**entry, "metric": metric} for metric in ("accuracy_boolq", "accuracy_mean")],
        }
    )


@pytest.mark.parametrize(
    ("found", "known", "status"),
    [
        (task_cell(f"version 2.0, {HASH}"), task_golden(), "passed"),
        (task_cell(f"version 2.0, {HASH}", (0.9, 0.9)), task_golden(), "failed"),
        (task_cell(f"version 3.0, {OTHER}", (0.9, 0.9)), task_golden(), "drift"),
        (task_cell(f"version 2.0, {OTHER}", (0.9, 0.9)), task_golden(), "drift"),
        (task_cell(f"version 2.0, {OTHER}"), task_golden(), "drift"),  # inside by accident
        (task_cell(f"version 2.0, {OTHER}", (0.9, 0.9), items=100), task_golden(), "failed"),  # another limit
        (task_cell(f"version 3.0, {OTHER}", (0.9, 0.9)), task_golden(tasks=False), "failed"),
        (task_cell(f"version 3.0, {OTHER}", (0.9, 0.9)), task_golden(publication="table 1"), "failed"),
    ],
)
def test_a_task_that_has_changed_is_drift_and_no_regression(found, known, status):
    judged = verdict([found], golden_checks(ZERO_SHOT, [found], {}, known))
    assert judged.status == status
    assert judged.exit_code == {"passed": 0, "failed": 1, "drift": 6}[status]
    if status == "drift":
        assert "compared with nothing: the task boolq is of " in judged.reasons[0]


def test_a_claim_on_a_task_that_has_changed_drifts_with_it():
    found = task_cell(f"version 3.0, {OTHER}", (0.2, 0.2))
    results = [evaluate_claim(claim, [found]) for claim in ZERO_SHOT.claims]
    assert results[0].status == "contradicted"
    statuses = [
        claim_checks(ZERO_SHOT, results, {}, task_golden(tasks=tasks), [found])[0].status for tasks in (True, False)
    ]
    assert statuses == ["drift", "failed"]
