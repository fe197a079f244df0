"""Records as input: what no longer fits is named by its key."""

import json
import math

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.runs.journal import Journal


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('"minimum_fit_share"', '"minimum_sane_share"', "spec.validity.minimum_sane_share is no key here"),
        ('"method": "wanda"', '"method": "wandaa"', "spec.cells[2].region.method is 'wandaa'; no such method"),
    ],
)
def test_a_record_whose_spec_is_of_another_version_names_the_keys(finished, tmp_path, old, new, wanted):
    path = tmp_path / "record.json"
    record = json.loads(finished[1].read_text())
    record["spec"] = json.loads(json.dumps(record["spec"]).replace(old, new))
    path.write_text(json.dumps(record))
    result = CliRunner().invoke(main, ["run", str(path), "--model", "tiny-llama2-chat", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert wanted in result.output
    assert "another version of the harness" in result.output


@pytest.mark.parametrize("command", [["explain"], ["verify"], ["figure", "--out", "figure.svg"]])
def test_a_record_of_an_earlier_version_is_told_as_that(finished, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**json.loads(finished[1].read_text()), "schema_version": 1}))
    result = CliRunner().invoke(main, [command[0], str(path), *command[1:]])
    assert result.exit_code == 2
    assert "schema_version: is 1, and this version's is 2: " in result.output
    assert "run the benchmark again" in result.output


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_that_is_no_number_is_on_disk_as_invalid_and_the_cell_can_be_read_again(finished, tmp_path, value):
    cell = finished[0].cells[0]
    wrong = cell.measurements[0].model_copy(update={"value": value, "interval": (value, value)})
    spread = cell.measurements[1].model_copy(update={"standard_error": value})
    journal = Journal(tmp_path)
    journal.write_cell(cell.model_copy(update={"measurements": (wrong, spread)}), [])
    first, second = journal.finished(cell.id).measurements
    assert (first.value, first.valid, first.interval) == (None, False, None)
    assert first.reason == f"its value is {value}, no number"
    assert (second.value, second.valid, second.standard_error) == (spread.value, True, None)
