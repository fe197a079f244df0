"""`harness regress`: exit codes, what it says, and the files that it leaves for a CI."""

from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.spec import locations
from harness.storage import locked

SPEC = """
id: {benchmark}
title: Perplexity of the intact organism
source: {{work: test}}
cells: [{{id: intact, title: Intact}}]
evaluations: [{{kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}}]
golden_values: {golden}
"""


@pytest.fixture
def regress(tmp_path, monkeypatch):
    """regress(benchmark, golden): the command on a spec of one small cell with that id; also the suite of JUnit."""
    monkeypatch.chdir(tmp_path)

    def run(benchmark, golden, model="tiny-llama2-chat"):
        (tmp_path / "spec.yaml").write_text(SPEC.format(benchmark=benchmark, golden=golden))
        result = CliRunner().invoke(main, ["regress", "--model", model, "--only", "spec.yaml"])
        return result, ElementTree.parse("runs/junit.xml").getroot().find("testsuite")

    return run


def test_a_run_as_expected_ends_with_0_and_a_suite_without_failures(regress, tmp_path):
    result, suite = regress("text-alone", "none")
    assert result.exit_code == 0, result.output
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "0")
    assert (tmp_path / "runs" / "annotations.txt").read_text() == ""
    assert "| text-alone | tiny-llama2-chat | **PASSED** |" in (tmp_path / "runs" / "summary.md").read_text()
    assert (tmp_path / "runs" / "report.html").is_file()


def test_golden_values_that_were_not_measured_end_with_1_and_are_told_with_the_next_command(regress, tmp_path):
    result, suite = regress("figure-9", "none")
    assert result.exit_code == 1, result.output
    assert int(suite.get("failures")) > 0
    assert "measured   no number" in result.output
    (record,) = tmp_path.rglob("record.json")
    assert f"next       harness explain {record.relative_to(tmp_path)}" in result.output
    assert (tmp_path / "runs" / "annotations.txt").read_text().startswith("::error ")


def test_figures_without_golden_values_end_with_4_and_say_how_to_make_them(regress):
    result, suite = regress("text-alone", "required")
    assert result.exit_code == 4, result.output
    assert suite.find("testcase[@name='intact']/failure").get("type") == "missing_golden"
    assert "next       harness accept runs/tiny-llama2-chat/text-alone/" in result.output


def test_a_run_that_is_refused_leaves_no_outcome_of_an_earlier_one(regress, tmp_path):
    regress("text-alone", "none")
    result, suite = regress("text-alone", "nonsense")
    assert result.exit_code == 2
    assert suite.find("testcase/error").get("type") == "refused"
    assert "PASSED" not in (tmp_path / "runs" / "summary.md").read_text()


@pytest.mark.parametrize("command", ["regress", "reproduce"])
def test_what_another_command_has_in_hand_is_not_taken_away_by_one_that_is_refused(tmp_path, command):
    """The second of two into one folder would write that nothing was measured over the outcome of the first."""
    with locked(tmp_path / ".ci.lock"):
        (tmp_path / "junit.xml").write_text("the first one's")
        result = CliRunner().invoke(main, [command, "--model", "tiny-llama2-chat", "--out", str(tmp_path)])
    assert (result.exit_code, "junit.xml: another command is at work that will write it" in result.output) == (2, True)
    assert (tmp_path / "junit.xml").read_text() == "the first one's"
    assert not (tmp_path / "summary.md").exists()


def test_a_variant_without_golden_values_is_told_how_to_get_them(tmp_path):
    result = CliRunner().invoke(main, ["regress", "--model", "llama3-8b-instruct", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "no golden values" in result.output
    assert "harness accept" in result.output


def test_golden_values_of_a_benchmark_that_is_gone_are_not_passed_over(tmp_path, monkeypatch):
    """A spec that was renamed or lost would otherwise never be compared again, and nothing would say so."""
    catalogue = tmp_path / "mine"
    golden = catalogue / "golden" / "tiny-llama2-chat" / "figure-2c.yaml"
    golden.parent.mkdir(parents=True)
    golden.write_text((locations.root() / "golden" / "tiny-llama2-chat" / "figure-2a.yaml").read_text())
    monkeypatch.setenv("HARNESS_CATALOGUE", str(catalogue))
    result = CliRunner().invoke(main, ["regress", "--model", "tiny-llama2-chat", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "figure-2c.yaml: golden values of a benchmark that is in no catalogue" in result.output
    assert "--only" in result.output
    assert not (tmp_path / "out").exists()
