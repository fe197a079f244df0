"""The tables of what was reproduced, from runs and from golden values."""

import os

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.reports import document
from harness.reports.markdown import OF_RUNS, PLACE, table_of_golden, table_of_runs
from harness.runs.journal import Journal
from harness.spec import locations


def rows(table):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def invoke(*arguments, **environment):
    return CliRunner().invoke(main, ["report", *map(str, arguments)], env={"CI": None, **environment})


@pytest.fixture
def record(make_cell, make_record):
    cells = [
        make_cell("intact", "intact", {"a": 0.5}),
        make_cell("top", "top", {"a": 0.5}, invalid=("a",), invalid_is_expected="destroyed"),
        make_cell("shared", "shared", {"a": 0.5}, measured_in="tiny/c/1#shared"),
    ]
    claims = [
        {"id": name, "status": status}
        for name, status in (("one", "contradicted"), ("two", "supported"), ("three", "supported"))
    ]
    checks = [{"cell": "intact", "metric": "a"}, {"cell": "intact", "metric": "b", "status": "failed"}]
    made = make_record(cells, checks=checks, claims=claims)
    facts = {
        "git_commit": "0123456789abcdef",
        "git_dirty": True,
        "processor": "some CPU",
        "threads": 2,
        "packages": {"torch": "2.13.0"},
    }
    return made.model_copy(update={"provenance": made.provenance.model_copy(update=facts)})


def test_a_run_is_a_row_with_its_verdict_and_what_it_was_made_on(record):
    (row,) = rows(table_of_runs([record]))
    assert dict(zip(OF_RUNS, row, strict=True)) == {
        "variant": "tiny",
        "benchmark": "b",
        "reproduces": "Somebody 2024, figure 9z, section 4.1",
        "verdict": "PASSED",
        "checks passed": "1 of 2",
        "invalid cells": "1 of 3 (1 expected)",
        "claims": "2 supported, 1 contradicted",
        "commit": "0123456789, changed",
        "machine": "some CPU, AVX2 (MKL_CBWR=AVX2), 2 threads, torch 2.13.0",
        "finished": "2026-01-01",
        "seconds": "2",
    }


def test_golden_values_are_a_row_with_their_run_and_printed_ones_say_that_nothing_was_run(tmp_path):
    ours, theirs = tmp_path / "tiny" / "b.yaml", tmp_path / "llama" / "b.yaml"
    for path in (ours, theirs):
        path.parent.mkdir()
    value = "{cell: intact, metric: asr_vanilla, value: 0.5, tolerance: {width: 0.1, basis: binomial}"
    ours.write_text(
        f"variant: tiny\nbenchmark: b\nsource: {{record: tiny/b/1, commit: 0123abc, machine: some CPU}}\n"
        f"values:\n- {value}}}\n- {value.replace('intact', 'top')}, source: {{publication: P}}}}\n"
        "claims: {one: supported, two: underpowered}\n"
    )
    theirs.write_text(f"variant: llama\nbenchmark: b\nvalues:\n- {value}, source: {{publication: P}}}}\n")
    name = "b (no such benchmark any more)"
    assert rows(table_of_golden([ours, theirs], [])) == [
        ["llama", name, "-", "1", "-", "**never run here**", "-", "-"],
        ["tiny", name, "1", "1", "1 supported, 1 underpowered", "tiny/b/1", "0123abc", "some CPU"],
    ]


def test_the_document_holds_the_table_of_the_shipped_golden_files():
    assert PLACE.differences(table_of_golden(locations.golden_paths(), locations.benchmark_paths())) == []


def test_a_document_that_is_not_up_to_date_is_an_exit_code_and_a_diff(tmp_path, monkeypatch):
    path = tmp_path / PLACE.page
    path.parent.mkdir()
    path.write_text(PLACE.document.read_text(encoding="utf-8").replace("| tiny-llama2-chat | figure-2a |", "| x | y |"))
    monkeypatch.setattr(document, "DOCUMENTS", tmp_path)
    stale = invoke("--markdown", "--check")
    assert stale.exit_code == 1
    assert "-| x | y |" in stale.output and "+| tiny-llama2-chat | figure-2a |" in stale.output
    assert "harness report --markdown --document" in stale.output
    assert invoke("--markdown", "--document").exit_code == 0
    assert invoke("--markdown", "--check").exit_code == 0


def test_a_table_of_runs_is_printed_or_written(tmp_path, record):
    Journal(tmp_path / "tiny" / "b" / "1").write_record(record)
    printed = invoke(tmp_path, "--markdown")
    assert printed.output == table_of_runs([record]) + "\n"
    written = invoke(tmp_path, "--markdown", "--out", tmp_path / "out.md")
    assert (tmp_path / "out.md").read_text() == printed.output and "written" in written.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no folder of runs is named"),
        (("--check",), "no folder of runs"),
        ((".", "--markdown", "--check"), "neither a folder of runs nor --out"),
        (("--markdown", "--show-completions"), "shows no texts"),
    ],
)
def test_what_does_not_go_together_is_said(arguments, words):
    result = invoke(*arguments)
    assert result.exit_code == 2 and words in result.output


def test_texts_of_real_models_are_not_shown_on_a_machine_of_others(tmp_path, record):
    Journal(tmp_path / "tiny" / "b" / "1").write_record(record)
    refused = invoke(tmp_path, "--show-completions", "--out", tmp_path / "r.html", CI="true")
    assert refused.exit_code == 2 and "where CI is set" in refused.output
    assert not os.path.exists(tmp_path / "r.html")
    assert invoke(tmp_path, "--show-completions", "--out", tmp_path / "r.html").exit_code == 0
