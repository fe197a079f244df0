"""`harness verify`: what it says, its exit codes, and `harness.verify`."""

import json

from click.testing import CliRunner

import harness
from harness.cli import main


def invoked(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def test_a_clean_record_ends_with_0_and_says_what_agrees_and_what_nobody_reads(read_twice):
    result = invoked(read_twice[1] / "record.json")
    assert result.exit_code == 0, result.output
    assert "the record verifies" in result.output
    assert " class, " in result.output
    assert "\x1b" not in result.output


def test_a_record_that_does_not_verify_ends_with_3_and_each_difference_is_told(copied):
    copied.figure("planted", "asr_vanilla")["value"] = 0.75
    result = invoked(copied.bind())
    assert result.exit_code == 3, result.output
    assert (
        "differs: record.json: figure asr_vanilla of planted: recorded 0.75, recomputed 1.0 (difference -0.25)"
        in result.output
    )


def test_json_has_every_difference(copied):
    copied.figure("planted", "asr_vanilla")["value"] = 0.75
    result = invoked(copied.bind(), "--json")
    content = json.loads(result.output)
    assert (result.exit_code, content["holds"]) == (3, False)
    assert {
        "file": "record.json",
        "kind": "figure",
        "cell": "planted",
        "name": "asr_vanilla",
        "recorded": 0.75,
        "recomputed": 1.0,
        "difference": -0.25,
        "note": "",
    } in content["differs"]


def test_files_that_nothing_binds_any_more_are_a_difference(copied):
    (copied.folder / "private-completions" / "planted.jsonl.gz").write_text("{}\n")
    result = invoked(copied.folder)
    assert result.exit_code == 3
    assert "private-completions/planted.jsonl.gz has changed since it was written" in result.output


def test_what_is_no_record_ends_with_2(tmp_path):
    (tmp_path / "record.json").write_text("{}")
    assert invoked(tmp_path).exit_code == 2
    assert invoked(tmp_path / "none.json").exit_code == 2


def test_the_python_api_reads_a_record_as_the_command_does(read_twice):
    found = harness.verify(read_twice[1])
    assert found.holds
    assert found.exit_code == 0


def test_words_of_a_stranger_are_shown_as_text(copied):
    copied.record["claims"][0]["evidence"] = "\x1b[2Jgone"
    result = invoked(copied.bind())
    assert result.exit_code == 3
    assert "\x1b" not in result.output


def test_accept_takes_no_record_that_does_not_verify(copied):
    copied.figure("intact", "answered_vanilla")["value"] = 0.125
    result = CliRunner().invoke(main, ["accept", str(copied.bind() / "record.json"), "--reason", "it is so"])
    assert result.exit_code == 2, result.output
    assert "figure answered_vanilla of intact" in result.output


def test_half_a_character_in_the_spec_of_a_record_ends_in_words(copied):
    declared = copied.folder / "declared.json"
    text = declared.read_text()
    assert '"select":"planted"' in text.replace(" ", "")
    declared.write_text(text.replace('"planted"', r'"\ud800"'))
    result = invoked(copied.bind())
    assert result.exit_code == 3, result.output
    assert "declared.json" in result.output
