"""The commands as a user types them."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.spec import locations


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_list_names_what_there_is():
    content = json.loads(invoke("list", "--json").stdout)
    assert "figure-2a" in content["benchmarks"]
    assert "tiny-llama2-chat" in content["models"]
    assert set(content["attribution"]) >= {"snip", "wanda", "magnitude", "random"}


def test_validate_finds_the_shipped_files_valid():
    assert invoke("validate").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "figure-2aa", "--model", "tiny-llama2-chat"), "did you mean 'figure-2a'?"),
        (("run", "figure-2a", "--model", "tiny-llama-chat"), "did you mean 'tiny-llama2-chat'?"),
        (("run", "none.yaml", "--model", "tiny-llama2-chat"), "no such file"),
        (("validate", "none.yaml"), "no such file"),
        (("accept", "none.json", "--reason", "x"), "no such file"),
        (("organism", "build", "tiny-lama", "--out", "x"), "tiny-llama2-chat"),
    ],
)
def test_user_errors_end_with_exit_code_2_and_a_next_step(arguments, words):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_checkpoint_without_a_variant_file_is_explained(tmp_path):
    result = invoke("run", "figure-2a", "--model", tmp_path)
    assert result.exit_code == 2
    assert "variant.yaml" in result.output


def test_missing_and_tampered_data_are_found_before_the_weights(tmp_path):
    text = locations.find_variant("tiny-llama2-chat").read_text().replace("organism: tiny-llama2-chat", "path: nowhere")
    (tmp_path / "variant.yaml").write_text(text)
    result = invoke("run", "figure-2a", "--model", tmp_path)
    assert result.exit_code == 2
    assert result.output.count("no such file") >= 5
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utility.csv").write_text("prompt,response\na,b\n")
    assert "has changed" in invoke("run", "figure-2a", "--model", tmp_path).output


def test_a_folder_in_the_place_of_a_file_is_bad_input(tmp_path):
    score = ("score", tmp_path, "--method", "snip", "--data", tmp_path, "--out", tmp_path / "out")
    for arguments in (("accept", tmp_path, "--reason", "x"), score):
        result = invoke(*arguments)
        assert (result.exit_code, "is a folder; expected a file" in result.output) == (2, True), result.output


def test_a_record_that_may_not_be_read_is_bad_input(tmp_path):
    """The loop stands for any file that the system does not open: root may read all others."""
    loop = tmp_path / "record.json"
    loop.symlink_to(loop)
    result = invoke("accept", loop, "--reason", "x")
    assert (result.exit_code, "cannot be read" in result.output) == (2, True), result.output


def test_a_reader_that_stops_reading_is_no_failed_check():
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
