"""Records as input: what no longer fits is named by its key."""

import json

import pytest
from click.testing import CliRunner

from harness.cli import main


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
