"""A golden file beside the run that it comes from: each value is the run's, and the run verifies."""

import json
import shutil

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.runs import acceptance
from harness.spec import locations


@pytest.fixture
def shipped(finished, tmp_path, monkeypatch):
    """A catalogue with a golden file and its run: the file, and the run's folder."""
    record, path = finished[:2]
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    folder = tmp_path / "runs" / record.id
    shutil.copytree(path.parent, folder)
    golden = acceptance.accept(record, "first", acceptance.ties_beside(path, record))[1]
    return acceptance.write_golden(golden, acceptance.Before.of(record, path)), folder


def validated(path):
    return CliRunner().invoke(main, ["validate", str(path)])


def test_a_golden_file_names_the_manifest_of_its_run_and_is_borne_out_by_it(shipped, finished):
    path, _ = shipped
    assert f"manifest_sha256: {finished[0].manifest_sha256}" in path.read_text()
    result = validated(path)
    assert result.exit_code == 0, result.output


def line_of(text, *words):
    return next(line for line in text.splitlines() if all(word in line for word in words))


def another_value(text):
    line = line_of(text, "cell: intact", "perplexity")
    return text.replace(line, line.replace("value: ", "value: 1"))


def wider(text):
    line = line_of(text, "cell: intact", "perplexity")
    return text.replace(line, line.replace("width: 0.", "width: 2.", 1))


def without_a_value(text):
    return text.replace(line_of(text, "cell: intact", "perplexity") + "\n", "")


def invalid(text):
    line = line_of(text, "cell: intact", "perplexity")
    return text.replace(line, line.replace("tolerance:", "valid: false, tolerance:"))


def another_run(text):
    line = line_of(text, "manifest_sha256")
    return text.replace(line, "  manifest_sha256: " + "ab" * 32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another_value, "perplexity of intact is"),
        (wider, "perplexity of intact has a"),
        (without_a_value, "perplexity of intact is missing"),
        (invalid, "invalid, where"),
        (another_run, "manifest_sha256 is abababababab, that of the run"),
    ],
)
def test_a_golden_file_that_was_edited_is_named_by_its_run(shipped, change, words):
    path, _ = shipped
    path.write_text(change(path.read_text()))
    result = validated(path)
    assert result.exit_code == 2
    assert "by the run " in result.output
    assert words in result.output


def test_a_run_that_was_edited_bears_nothing_out(shipped):
    path, folder = shipped
    content = json.loads((folder / "record.json").read_text())
    figure = next(m for m in content["cells"][0]["measurements"] if m["metric"] == "perplexity")
    figure["value"] += 1
    (folder / "record.json").write_text(json.dumps(content))
    result = validated(path)
    assert result.exit_code == 2
    assert "perplexity of intact" in result.output


def test_a_run_that_is_not_there_says_nothing(shipped):
    path, folder = shipped
    shutil.rmtree(folder)
    assert validated(path).exit_code == 0


@pytest.mark.parametrize("name", ["../../../etc", "a/b/..", "/x/y/z", "a/b", ""])
def test_a_name_that_leads_elsewhere_is_not_followed(shipped, name):
    path, _ = shipped
    text = path.read_text()
    path.write_text(text.replace(line_of(text, "  record: "), f"  record: '{name}'"))
    assert validated(path).exit_code == 0
