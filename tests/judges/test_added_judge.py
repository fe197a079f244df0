"""`harness judge`: a judge that is added to a finished record, against a run that had it from the beginning."""

import json
import shutil

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.runs.journal import read_record
from tests.judges import test_judged_runs as runs
from tests.judges.random_checkpoints import write_llama
from tests.judges.test_judged_runs import bound, completions
from tests.runs.conftest import run_in_process

GUARD = "harmbench-llama2-13b-cls"


def harness(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The record of a run without judges on one attack and with two on another."""
    folder = tmp_path_factory.mktemp("without")
    return run_in_process(bound(folder, "[]"), folder / "runs")[1]


def added(record, out, *options):
    result = harness("judge", record, "--out", out, *options)
    assert result.exit_code == 0, result.output
    return read_record(out / "record.json")


def test_the_copy_is_what_a_run_with_that_judge_would_have_written(without, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_llama(tmp_path / "weights", says=" no")
    options = ("--judge", GUARD, "--set", "path=weights", "--set", "threshold=0.25", "--set", "dtype=float32")
    found = added(without, tmp_path / "copy", *options)
    named = f"{{judge: {GUARD}, path: weights, threshold: 0.25, dtype: float32}}"
    text = "judges: [keyword, {judge: own}"
    monkeypatch.setattr(runs, "SPEC", runs.SPEC.replace(text, f"{text}, {named}"))
    wanted, path = run_in_process(bound(tmp_path, f"[{named}]"), tmp_path / "runs")
    assert found.id.rpartition("-")[2] == wanted.id.rpartition("-")[2]
    assert found.spec == wanted.spec
    for one, other in zip(found.cells, wanted.cells, strict=True):
        differing = {"seconds", "receipts", "completions_sha256", "unchecked"}  # those of judges come in another order
        assert one.model_dump(exclude=differing) == other.model_dump(exclude=differing)
        assert sorted(one.unchecked) == sorted(other.unchecked)
        assert {r.name: r.holds for r in one.receipts} == {r.name: r.holds for r in other.receipts}
        texts = completions(tmp_path / "copy" / "record.json", one.id)
        assert [text["judgements"] for text in texts if "judgements" in text] == [
            text["judgements"] for text in completions(path, one.id) if "judgements" in text
        ]
    assert (found.checks, found.claims, found.verdict) == (wanted.checks, wanted.claims, wanted.verdict)
    declared = json.loads((tmp_path / "copy" / "declared.json").read_text())
    assert declared["evaluations"][0]["judges"][-1]["judge"] == GUARD
    verified = harness("verify", tmp_path / "copy")
    assert verified.exit_code == 0, verified.output
    assert "no known text does harm" in " ".join(found.cells[0].unchecked)
    again = harness("judge", tmp_path / "copy", "--judge", GUARD, "--set", "path=weights", "--out", tmp_path / "more")
    assert again.exit_code == 2
    assert "has read its texts already" in again.output
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--judge", "keyword"), "the judge keyword has read its texts already"),
        (("--judge", "keywords"), "did you mean 'keyword'?"),
        (("--judge", GUARD, "--set", "threshold"), "expected KEY=VALUE"),
        (("--judge", GUARD, "--set", "threshold=high"), "threshold"),
        (("--judge", GUARD, "--set", "path=nowhere"), "no such folder below the working directory"),
    ],
)
def test_a_judge_that_cannot_be_added_leaves_nothing(without, tmp_path, options, words):
    result = harness("judge", without, "--out", tmp_path / "copy", *options)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())
    assert not (tmp_path / "copy").exists()


def test_a_judge_that_needs_the_intact_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SPEC", runs.SPEC.replace("judges: [keyword, {judge: own}]", "judges: [keyword]"))
    _, path = run_in_process(bound(tmp_path, "[keyword]"), tmp_path / "runs")
    result = harness("judge", path, "--judge", "own", "--out", tmp_path / "copy")
    assert result.exit_code == 2
    assert "run the benchmark with that judge" in " ".join(result.output.split())


def test_a_run_that_nothing_bears_out_gets_no_judge(without, tmp_path):
    shutil.copytree(without.parent, tmp_path / "changed")
    path = tmp_path / "changed" / "record.json"
    content = json.loads(path.read_text())
    content["cells"][0]["measurements"][0]["value"] = 0.25
    path.write_text(json.dumps(content))
    result = harness("judge", path, "--judge", GUARD, "--set", "path=.", "--out", tmp_path / "copy")
    assert result.exit_code == 2
    assert "nothing bears it out" in " ".join(result.output.split())
    stripped = harness("record", "strip", without, "--out", tmp_path / "stripped")
    assert stripped.exit_code == 0, stripped.output
    result = harness("judge", tmp_path / "stripped", "--judge", GUARD, "--set", "path=.", "--out", tmp_path / "copy")
    assert "its texts were taken out" in result.output
