import gzip
import json
from dataclasses import replace

import pytest
import yaml
from pydantic import ValidationError

from harness.errors import UserError
from harness.faults.seam import replaced
from harness.runs import acceptance
from harness.runs.judgement import golden_checks
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile, GoldenSource, GoldenValue
from harness.spec.loading import load_yaml_model
from harness.spec.measurement import Measurement
from harness.spec.receipt import FineTuningReceipt
from harness.spec.result import Verdict
from harness.verification.accepted import Miswritten, ties_again


def test_accepted_values_let_the_same_record_pass(finished, tmp_path, monkeypatch):
    record = finished[0]
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    changes, golden = acceptance.accept(record, "first values", {})
    assert {change.old for change in changes} == {None}
    acceptance.write_golden(golden, acceptance.Before.of(record, None))
    path = locations.golden_path("tiny-llama2-chat", "small")
    assert path == tmp_path / "golden" / "tiny-llama2-chat" / "small.yaml"
    assert load_yaml_model(path, GoldenFile) == golden
    assert yaml.safe_load(path.read_text())["source"]["reason"] == "first values"
    checks = golden_checks(BenchmarkSpec.model_validate(record.spec), record.cells, {}, golden)
    assert {check.status for check in checks} <= {"passed", "skipped_invalid"}
    assert set(golden.tasks) == set(record.variant["zero_shot_tasks"])
    assert {task.items for task in golden.tasks.values()} == {5}
    again, _ = acceptance.accept(record, "again", {})
    assert all(change.old == change.new for change in again)


def test_of_two_that_accept_at_once_one_alone_comes_to_its_end(finished, tmp_path, monkeypatch):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    record = finished[0]
    for there in ("nothing", "a file"):
        before = [acceptance.Before.of(record, None) for _ in range(2)]
        (_, first), (_, second) = (acceptance.accept(record, f"{each}, {there}", {}) for each in ("first", "second"))
        path = acceptance.write_golden(first, before[0])
        with pytest.raises(UserError, match=r"small\.yaml: another command has written it meanwhile"):
            acceptance.write_golden(second, before[1])
        assert load_yaml_model(path, GoldenFile) == first
        assert [each.name for each in path.parent.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(("value", "width"), [(4.0, 0.08), (-0.5, 0.01), (3.2e-5, 1e-6), (0.0, 1e-6), (2.5e-4, 5e-6)])
def test_a_tolerance_is_small_beside_the_value_that_it_is_of(finished, value, width):
    record = finished[0]
    measured = Measurement(metric="drift", value=value, n=10)
    cell = record.cells[0].model_copy(update={"measurements": (measured,)})
    _, golden = acceptance.accept(record.model_copy(update={"cells": (cell,)}), "because", {})
    assert golden.values[0].tolerance.width == pytest.approx(width)


def test_a_share_of_weights_may_move_by_a_few_of_them(finished):
    record = finished[0]
    measured = Measurement(metric="overlap", value=0.5, n=64, resolution=1 / 64)
    cell = record.cells[0].model_copy(update={"measurements": (measured,)})
    _, golden = acceptance.accept(record.model_copy(update={"cells": (cell,)}), "because", {})
    assert golden.values[0].tolerance.width == pytest.approx(3 / 64, rel=1e-2)


def accepted(record, measured):
    cell = record.cells[0].model_copy(update={"measurements": (measured,)})
    made = record.model_copy(update={"cells": (cell,)})
    return made, acceptance.accept(made, "because", {})[1].values[0]


QUANTILE = Measurement(metric="drift/absolute_q95", value=0.5, n=361, neighbours=(0.45, 0.53))


def test_a_quantile_on_sparse_values_may_move_to_the_next_one(finished):
    _, value = accepted(finished[0], QUANTILE)
    assert (value.tolerance.width, value.tolerance.basis) == (0.06, "order_statistics")
    _, dense = accepted(finished[0], QUANTILE.model_copy(update={"neighbours": (0.499, 0.501)}))
    assert (dense.tolerance.width, dense.tolerance.basis) == (0.01, "hardware_spread")


@pytest.mark.parametrize(("value", "neighbours"), [(0.5, (0.45, 1.2)), (0.5, (0.0, 0.5)), (0.0, (0.0, 0.3))])
def test_a_quantile_at_a_jump_is_measured_and_not_compared(finished, value, neighbours):
    measured = QUANTILE.model_copy(update={"value": value, "neighbours": neighbours})
    record, golden = accepted(finished[0], measured)
    assert "next to a jump: one rank of 361 away" in golden.not_compared
    file = GoldenFile(variant="tiny-llama2-chat", benchmark="small", values=(golden,))
    spec = BenchmarkSpec.model_validate(record.spec)
    elsewhere = record.cells[0].model_copy(update={"measurements": (measured.model_copy(update={"value": 9.0}),)})
    assert [check.status for check in golden_checks(spec, [elsewhere], {}, file)] == ["not_compared"]
    gone = record.cells[0].model_copy(update={"measurements": ()})
    assert [check.status for check in golden_checks(spec, [gone], {}, file)] == ["missing_measurement"]


def test_tolerances_are_derived_from_another_run_and_values_stay(finished, tmp_path, monkeypatch):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    record = finished[0].model_copy(update={"cells": finished[0].cells[:1], "claims": ()})
    first, _ = accepted(record, QUANTILE.model_copy(update={"neighbours": None}))
    old = acceptance.accept(first, "first", {})[1]
    acceptance.write_golden(old, acceptance.Before.of(first, None))
    here, _ = accepted(record, QUANTILE.model_copy(update={"value": 0.47, "neighbours": (0.43, 0.48)}))
    acceptance.write_golden(acceptance.derive_tolerances(here, "sparse", {}), acceptance.Before.of(here, None))
    new = load_yaml_model(locations.golden_path("tiny-llama2-chat", "small"), GoldenFile)
    assert [value.value for value in new.values] == [value.value for value in old.values] == [0.5]
    assert (new.values[0].tolerance.width, new.values[0].tolerance.basis) == (0.05, "order_statistics")
    assert new.source.record == old.source.record and new.source.tolerances.endswith(": sparse")
    moved, _ = accepted(record, QUANTILE.model_copy(update={"value": 0.3, "neighbours": (0.27, 0.31)}))
    with pytest.raises(UserError, match=r"moved by more .*\n.*is 0.3, golden 0.5"):
        acceptance.derive_tolerances(moved.model_copy(update={"cells": moved.cells}), "sparse", {})


def test_no_tolerance_is_zero_or_wide_enough_for_anything(finished):
    _, golden = acceptance.accept(finished[0], "x", {})
    shares = [value for value in golden.values if value.tolerance.basis == "binomial"]
    assert shares
    assert all(0 < value.tolerance.width < 0.5 for value in shares)


def test_an_invalid_record_is_refused(finished):
    record = finished[0].model_copy(
        update={"verdict": Verdict(status="invalid", exit_code=3, reasons=("x: degenerate",))}
    )
    with pytest.raises(UserError, match="degenerate"):
        acceptance.accept(record, "because", {})


def test_a_reason_is_needed(finished):
    with pytest.raises(UserError, match="reason"):
        acceptance.accept(finished[0], "  ", {})


PUBLISHED = """# Published values: as the paper prints them.
# Second line.
variant: tiny-llama2-chat
benchmark: small
values:
- {cell: intact, metric: asr_vanilla, value: 0.25, tolerance: {width: 0.1, basis: binomial}, source: {publication: 'table 1'}}
- {cell: elsewhere, metric: asr_vanilla, value: 0.5, tolerance: {width: 0.1, basis: binomial}, source: {publication: 'table 2'}}
- {cell: intact, metric: asr_adv_decoding, value: 0.9, tolerance: {width: 0.1, basis: binomial}, source: {record: old, reason: r}}
"""  # noqa: E501


def test_published_values_and_the_files_comment_outlive_a_record(finished, tmp_path, monkeypatch):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    path = locations.golden_target("tiny-llama2-chat", "small")
    path.parent.mkdir(parents=True)
    path.write_text(PUBLISHED)
    before = load_yaml_model(path, GoldenFile).values
    changes, golden = acceptance.accept(finished[0], "first values", {})
    assert finished[0].cell("intact").measurement("asr_vanilla").value == 0.0
    by_key = {(change.cell, change.metric): change for change in changes}
    kept = by_key["intact", "asr_vanilla"]
    assert (kept.old, kept.new, kept.note) == (0.25, 0.25, "kept: published in table 1; the record has 0")
    assert by_key["elsewhere", "asr_vanilla"].note == "kept: published in table 2; the record has none"
    replaced = by_key["intact", "asr_adv_decoding"]
    measured = finished[0].cell("intact").measurement("asr_adv_decoding").value
    assert (replaced.old, replaced.new, replaced.note) == (0.9, measured, "")
    for _ in range(2):  # the second time over our own file
        acceptance.write_golden(golden, acceptance.Before.of(finished[0], None))
        assert path.read_text().startswith("# Published values: as the paper prints them.\n# Second line.\nvariant:")
        assert path.read_text().count("#") == 2
        found = load_yaml_model(path, GoldenFile)
        assert found == golden
        assert [value for value in found.values if value.source.publication] == list(before[:2])
        assert len({(value.cell, value.metric) for value in found.values}) == len(found.values)
        _, golden = acceptance.accept(finished[0], "first values", {})


SHARE = Measurement(metric="asr_vanilla", value=0.5, n=100, standard_error=0.05)


def of_cell(finished, measured, kind="intact", ties=0):
    """The golden value that a figure makes in a cell that is left alone, edited or fine-tuned."""
    cell = next(cell for cell in finished[0].cells if cell.id == ("intact" if kind == "intact" else "planted"))
    trained = {"fine_tuning": FineTuningReceipt.model_construct()} if kind == "trained" else {}
    made = cell.model_copy(update={"measurements": (measured,), **trained})
    record = finished[0].model_copy(update={"cells": (made,)})
    return acceptance.accept(record, "because", {(made.id, measured.metric): ties})[1].values[0]


@pytest.mark.parametrize(("ties", "width"), [(0, 0.03), (2, 0.03), (7, 0.07), (60, 0.096)])
def test_as_many_of_n_may_turn_as_have_a_near_tie_and_three_at_least(finished, ties, width):
    value = of_cell(finished, SHARE, ties=ties)
    assert value.regression.width == pytest.approx(width, abs=1e-3)
    assert (value.regression.basis, value.tolerance.basis) == ("near_ties", "binomial")
    assert value.regression.width <= value.tolerance.width


@pytest.mark.parametrize(("kind", "share"), [("intact", 1e-5), ("edited", 3e-3)])
def test_a_sum_is_held_to_what_was_measured_between_processors(finished, kind, share):
    value = of_cell(finished, Measurement(metric="perplexity", value=8.0, n=5), kind)
    assert value.regression.width == pytest.approx(8.0 * share, rel=1e-2)
    assert value.tolerance.width == pytest.approx(0.16)


def test_what_is_trained_or_counted_over_weights_has_one_tolerance(finished):
    assert of_cell(finished, Measurement(metric="perplexity", value=8.0, n=5), "trained").regression is None
    assert of_cell(finished, Measurement(metric="overlap", value=0.5, n=64, resolution=1 / 64)).regression is None
    assert of_cell(finished, QUANTILE).regression is None


def test_a_run_is_held_to_regression_and_a_published_value_to_replication(finished):
    value = of_cell(finished, SHARE)
    published = value.model_copy(update={"source": GoldenSource(publication="paper"), "metric": "other"})
    file = GoldenFile(variant="tiny-llama2-chat", benchmark="small", values=(value, published))
    moved = [SHARE.model_copy(update={"metric": metric, "value": 0.56}) for metric in ("asr_vanilla", "other")]
    cell = finished[0].cells[0].model_copy(update={"id": "intact", "measurements": tuple(moved)})
    checks = golden_checks(BenchmarkSpec.model_validate(finished[0].spec), [cell], {}, file)
    assert [(check.status, check.basis) for check in checks] == [("failed", "near_ties"), ("passed", "binomial")]


def test_near_ties_are_counted_by_prompt_in_greedy_texts(finished):
    record, path, _ = finished
    spec = BenchmarkSpec.model_validate(record.spec)
    found = acceptance.ties_beside(path, record)
    assert {metric for _, metric in found} >= {"asr_vanilla", "answered_benign"}
    assert "asr_adv_decoding" not in {metric for _, metric in found}
    lines = gzip.decompress((path.parent / "private-completions" / "blocks.jsonl.gz").read_bytes()).splitlines()
    texts = [json.loads(line) for line in lines]
    near = {
        text["prompt_index"]
        for text in texts
        if text["evaluation"] == "vanilla" and any(choice[1] - choice[3] <= 0.002 for choice in text["choices"])
    }
    assert found["blocks", "asr_vanilla"] == len(near)
    assert all(count <= max(e.prompts for e in spec.evaluations if e.generates_texts) for count in found.values())


def test_a_regression_tolerance_wider_than_that_of_replication_is_refused(finished):
    value = of_cell(finished, SHARE)
    wide = {**value.model_dump(), "regression": {"width": 0.2, "basis": "near_ties"}}
    with pytest.raises(ValidationError, match=r"regression.width is 0.2, more than tolerance.width"):
        GoldenValue.model_validate(wide)


def of_the_next_cell(right):
    def value(cell, measured, source, ties):
        other = {"intact": "planted", "planted": "intact"}.get(cell.id, cell.id)
        return right(cell, measured, source, ties).model_copy(update={"cell": other})

    return value


def without_one(right):
    def written(golden):
        return right(golden.model_copy(update={"values": golden.values[1:]}))

    return written


def rounded_to_two_digits(right):
    return lambda value, source: {**right(value, source), "value": round(value["value"], 2)}


def with_another_outcome(right):
    return lambda golden: right(golden.model_copy(update={"claims": dict.fromkeys(golden.claims, "contradicted")}))


@pytest.mark.parametrize(
    ("target", "wrong", "words"),
    [
        ("_golden_value", of_the_next_cell, r"asr_vanilla of (intact|planted) is"),
        ("golden_yaml", without_one, "is missing"),
        ("_shortened", rounded_to_two_digits, "perplexity of intact is"),
        ("golden_yaml", with_another_outcome, "its claims are"),
    ],
    ids=["cells", "missing", "digits", "claims"],
)
def test_a_file_that_does_not_say_what_its_record_says_is_not_written(
    finished, tmp_path, monkeypatch, target, wrong, words
):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    with replaced(f"harness.runs.acceptance:{target}", wrong), pytest.raises(Miswritten, match=words):
        acceptance.write_golden(
            acceptance.accept(finished[0], "first values", {})[1], acceptance.Before.of(finished[0], None)
        )
    assert not locations.golden_target("tiny-llama2-chat", "small").exists()


def times(factor):
    return lambda right: right * factor


@pytest.mark.parametrize(
    ("target", "wrong", "words"),
    [
        ("HARDWARE_RELATIVE", times(10), r"has a tolerance of .*, where .* follows"),
        ("SUM_OF_INTACT", times(100), r"perplexity of intact has a regression of"),
        ("FLIPPED", times(2), r"has a regression of .*, where"),
        ("binomial_tolerance", lambda right: lambda share, n: 0.8 * right(share, n), "has a tolerance of"),
        ("not_compared", lambda right: lambda measured: "whatever it is", "is left uncompared"),
    ],
    ids=["hardware", "sums", "flipped", "binomial", "not compared"],
)
def test_widths_that_do_not_follow_from_the_record_are_not_written(
    finished, tmp_path, monkeypatch, target, wrong, words
):
    record, path = finished[:2]
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    right = acceptance.ties_beside(path, record)
    assert ties_again(path) == right
    acceptance.write_golden(acceptance.accept(record, "first", right)[1], acceptance.Before.of(record, path))
    module = "acceptance" if target == "not_compared" else "tolerances"
    with replaced(f"harness.runs.{module}:{target}", wrong), pytest.raises(Miswritten, match=words):
        golden = acceptance.accept(record, "again", acceptance.ties_beside(path, record))[1]
        acceptance.write_golden(golden, acceptance.Before.of(record, path))


@pytest.mark.parametrize(("counted", "there"), [(5, 4), (0, 40), (40, 0)])
def test_near_ties_are_counted_twice(finished, tmp_path, monkeypatch, counted, there):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    record, _ = accepted(finished[0].model_copy(update={"claims": ()}), SHARE)
    place = (record.cells[0].id, "asr_vanilla")
    before = replace(acceptance.Before.of(record, None), ties={place: there})
    with pytest.raises(Miswritten, match="has a regression of"):
        acceptance.write_golden(acceptance.accept(record, "first", {place: counted})[1], before)
    assert acceptance.write_golden(acceptance.accept(record, "first", {place: there})[1], before).is_file()


def test_tabs_between_values_of_the_file_in_use_are_blanks(finished, tmp_path, monkeypatch):
    """As everything else that reads it takes them."""
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    golden = acceptance.accept(finished[0], "first", {})[1]
    path = acceptance.write_golden(golden, acceptance.Before.of(finished[0], None))
    path.write_text(path.read_text().replace("basis: ", "basis: \t"))
    again = acceptance.accept(finished[0], "again", {})[1]
    acceptance.write_golden(again, acceptance.Before.of(finished[0], None))
    assert load_yaml_model(path, GoldenFile) == again
