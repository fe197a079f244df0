"""JUnit XML, the summary and the annotations, read back by parsers that are not ours."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.reports import ci
from harness.runs.judgement import verdict
from harness.spec import locations
from tests.reports.conftest import FAILED

FAILS = FAILED | {"message": "asr_vanilla is 0.41 | expected <0.97>\x1b[31m"}
CLAIM = {"cell": "claims", "metric": "planted-region-refuses", "status": "failed", "message": "the claim, 100% wrong"}


@pytest.fixture
def run(make_cell, make_record, tmp_path):
    """run(checks, spec): a run of cells intact, planted and broken, the last without a meaning."""

    def make(*checks, spec="figure-2a", broken=True, skipped=()):
        invalid = ("asr_vanilla",) if broken else ()
        cells = [
            make_cell(name, name, {"asr_vanilla": 0.4}, invalid=invalid if name == "broken" else ())
            for name in ("intact", "planted", "broken")
        ]
        record = make_record(
            cells, checks=checks, benchmark=Path(spec).stem, claims=[{"id": "c", "status": "supported"}]
        )
        outcome = {"verdict": verdict(record.cells, record.checks), "skipped_cells": dict(skipped)}
        return ci.judged(record.model_copy(update=outcome), spec, tmp_path)

    return make


def suite_of(run):
    return ElementTree.fromstring(ci.junit_xml([run])).find("testsuite")


def test_junit_counts_every_cell_once_and_tells_failures_from_what_means_nothing(run):
    suite = suite_of(run(FAILS, CLAIM, skipped={"later": "no such head"}))
    assert [case.get("name") for case in suite] == ["intact", "planted", "broken", "claims", "later"]
    assert [[element.tag for element in case] for case in suite] == [
        [],
        ["failure"],
        ["error"],
        ["failure"],
        ["skipped"],
    ]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "5",
        "failures": "2",
        "errors": "1",
        "skipped": "1",
        "time": "3.000",
    }
    assert {case.get("classname") for case in suite} == {"tiny.figure-2a"}


def test_a_task_that_drifted_is_an_error_of_that_type(run):
    drifted = {"cell": "intact", "metric": "rte", "status": "drift", "message": "rte is compared with nothing"}
    case = suite_of(run(drifted, broken=False)).find("testcase[@name='intact']")
    assert [(element.tag, element.get("type")) for element in case] == [("error", "drift")]


def test_junit_holds_both_values_and_survives_what_xml_cannot_write(run):
    failure = suite_of(run(FAILS)).find("testcase/failure")
    for line in ("  measured   0.41", "  golden     0.97, from run 0", "± 0.04 (binomial: 95%"):
        assert line in failure.text
    assert "\x1b" not in failure.text
    assert failure.get("message").endswith("<0.97>⟨U+001B⟩[31m")


def test_a_cell_with_many_findings_has_one_failure_that_tells_them_all(run):
    other = FAILS | {"metric": "asr_adv_suffix", "message": "asr_adv_suffix is off"}
    (failure,) = suite_of(run(FAILS, other)).findall("testcase[@name='planted']/failure")
    assert failure.get("message").endswith("(and 1 more)")
    assert "asr_adv_suffix is off" in failure.text


def test_a_run_as_expected_has_neither_failures_nor_annotations(run):
    passed = run(broken=False)
    suite = suite_of(passed)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "0", "0")
    assert ci.annotation_lines([passed]) == []
    assert "**PASSED**" in ci.summary([passed])


def test_the_tables_of_the_summary_have_the_same_number_of_columns_in_every_row(run):
    text = ci.summary([run(FAILS), run(broken=False)])
    assert "| figure-2a | tiny | **INVALID** | 0/1 | 3 | 1/1 |" in text
    tables = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    assert [len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) for rows in tables] == [1, 1]
    assert "<0.97>" not in text
    assert "0.41 \\| expected" in text


def test_more_findings_than_a_person_reads_are_counted(run):
    many = [FAILS | {"metric": f"m{i}", "message": f"m{i} is off"} for i in range(30)]
    text = ci.summary([run(*many, broken=False)])
    assert "m19 is off" in text
    assert "m20 is off" not in text
    assert "… and 10 more: all are in junit.xml" in text


def test_an_annotation_names_the_line_of_the_failing_cell_in_its_spec(run):
    (line,) = ci.annotation_lines([run(FAILS, broken=False)])
    place = re.match(r"::error file=([^,]+),line=(\d+),title=figure-2a on tiny%3A FAILED::planted: FAILED: ", line)
    text = (locations.root() / place[1]).read_text().splitlines()[int(place[2]) - 1]
    assert text == "  - id: planted"
    assert "\n" not in line
    assert "%0A  measured   0.41%0A" in line


def test_an_annotation_of_a_claim_names_its_line_and_escapes_what_github_reads(run):
    claim = CLAIM | {"metric": "probing-does-not-isolate"}
    (line,) = ci.annotation_lines([run(claim, broken=False)])
    number = int(re.search(r"line=(\d+)", line)[1])
    assert "probing-does-not-isolate" in locations.find_benchmark("figure-2a").read_text().splitlines()[number - 1]
    assert "100%25 wrong" in line


def test_a_spec_outside_the_checkout_is_annotated_without_a_place(run, tmp_path):
    (tmp_path / "mine.yaml").write_text("id: mine\n")
    (line,) = ci.annotation_lines([run(FAILS, spec=str(tmp_path / "mine.yaml"))])
    assert line.startswith("::error title=")


def test_a_refused_run_is_one_error_that_says_why(tmp_path):
    ci.write_refusal("harness regress", "data/x.csv: no such file", tmp_path)
    suite = ElementTree.parse(tmp_path / ci.JUNIT).getroot().find("testsuite")
    assert suite.get("errors") == str(len(suite.findall("testcase/error"))) == "1"
    assert "no such file" in (tmp_path / ci.SUMMARY).read_text()
    assert (tmp_path / ci.ANNOTATIONS).read_text() == "::error title=harness regress::data/x.csv: no such file\n"
