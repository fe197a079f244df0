"""A record that somebody sent, hostile in every string that the schema leaves free, through all that shows records."""

import copy
import json

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from harness.cli import main
from harness.reports import ci
from harness.spec.result import RunRecord
from tests.reports.conftest import FAILED

HOSTILE = (
    "\x1b[2J\x1b]0;t\x07\r\x08\x9b1m\u202e\u2066\u200b\u2028\U000e0041\x7f\n::error::x\n##[error]y|[a](http://b)`c`"
)
#: What must never be written as it stands. An SVG is made of tags alone, whose text is paths.
HIDDEN = {*"\x1b\x07\r\x08\x9b\u202e\u2066\u200b\u2028\U000e0041\x7f\x00"}


#: What a record may hold of the machine that made it: a token of the environment, one of `hf auth login`, an address.
SECRET = " MARKEDTOKEN hf_MARKEDxxxxxxxxxxxxxxxxxxxxxxxxx http://user:MARKEDPASSWORD@server/x"


@pytest.fixture
def record_of(make_cell, make_record, tmp_path):
    """record_of(words): the folder of a record with the words in every string, and in how many they are."""

    def make(words):
        content, count = poisoned(json.loads(_record(make_cell, make_record).model_dump_json()), words)
        folder = tmp_path / "sent"
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps(content))
        return folder, count

    return make


def _record(make_cell, make_record):
    cells = [
        make_cell("intact", "intact", {"asr_vanilla": 0.0, "accuracy_mean": 0.5}),
        make_cell(
            "planted",
            "planted",
            {"asr_vanilla": 0.41, "accuracy_mean": 0.4},
            invalid=("asr_vanilla",),
            invalid_is_expected="it is meant to be",
        ),
    ]
    return make_record(
        cells, checks=[FAILED], benchmark="figure-2a", claims=[{"id": "c", "status": "supported"}]
    ).model_copy(update={"skipped_cells": {"later": "no such head"}})


@pytest.fixture
def sent(record_of):
    """The folder of a record, and how many of its strings are hostile."""
    return record_of(HOSTILE)


def poisoned(content, words):
    """Every string with the words behind it, where the schema takes that, and how many there are."""
    count = 0
    for path in list(strings_in(content)):
        tried = copy.deepcopy(content)
        holder = tried
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] += words
        try:
            RunRecord.model_validate(tried)
        except (ValidationError, KeyError, TypeError, ValueError):
            continue
        content, count = tried, count + 1
    return content, count


def strings_in(content, path=()):
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, str):
            yield (*path, key)
        elif isinstance(value, dict | list):
            yield from strings_in(value, (*path, key))


def is_text(written):
    assert not {*written} & HIDDEN


def steers_no_build_server(written):
    is_text(written)
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in written.splitlines())


def test_nothing_but_text_comes_out(sent, tmp_path):
    folder, count = sent
    assert count > 20
    out = tmp_path / "out"
    commands = [
        ["explain", folder],
        ["explain", folder, "planted"],
        ["explain", folder, "--reference", folder],
        ["explain", folder, "--json"],
        ["compare", folder, folder],
        ["compare", folder, folder, "--json"],
        ["report", tmp_path, "--markdown"],
        ["report", tmp_path, "--out", out / "report.html"],
        ["figure", folder / "record.json", "--out", out / "figure.svg"],
        ["run", folder / "record.json", "--model", "tiny-llama2-chat", "--out", out],
    ]
    out.mkdir()
    codes = []
    for command in commands:
        done = CliRunner().invoke(main, list(map(str, command)))
        codes.append(done.exit_code)
        assert done.exit_code in (0, 1, 2, 3), done.output
        steers_no_build_server(done.stdout + done.stderr)
        if "--json" in command and done.exit_code == 0:
            json.loads(done.stdout)
    assert codes.count(0) >= 3, codes
    for path in out.iterdir():
        is_text(path.read_text())


def test_what_a_build_server_shows_is_text(sent, tmp_path):
    folder, _ = sent
    record = RunRecord.model_validate_json((folder / "record.json").read_text())
    reasons = (f"planted: {HOSTILE}",)
    record = record.model_copy(
        update={"verdict": record.verdict.model_copy(update={"status": "failed", "reasons": reasons})}
    )
    run = ci.judged(record, "figure-2a", tmp_path)
    ci.write_ci_files([run], tmp_path)
    for name in (ci.JUNIT, ci.SUMMARY):
        is_text((tmp_path / name).read_text())
    (command,) = (tmp_path / ci.ANNOTATIONS).read_text().splitlines()
    assert command.startswith("::error ")
    assert not {*command} & HIDDEN
    assert command.count("::error") == 2  # the second one stands in the message
    assert "](http" not in (tmp_path / ci.SUMMARY).read_text().replace("\\]", "")
    ci.write_refusal("harness", HOSTILE, tmp_path)
    for name in (ci.JUNIT, ci.SUMMARY):
        is_text((tmp_path / name).read_text())
    assert len((tmp_path / ci.ANNOTATIONS).read_text().splitlines()) == 1


def test_no_token_of_a_record_is_in_what_is_made_of_it_for_others(record_of, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "MARKEDTOKEN")
    _, count = record_of(SECRET)
    assert count > 20
    for arguments in (["--out", tmp_path / "report.html"], ["--markdown", "--out", tmp_path / "table.md"]):
        result = CliRunner().invoke(main, ["report", str(tmp_path), *map(str, arguments)])
        assert result.exit_code == 0, result.output
        written = arguments[-1].read_text()
        assert "MARKED" not in written + result.output
        assert "⟨HF_TOKEN⟩" in written


def test_no_token_of_a_record_is_in_its_figure(make_cell, make_record, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "MARKEDTOKEN")
    cell = make_cell("intact", "intact", {"asr_vanilla": 0.1, "accuracy_mean": 0.8})
    cell = cell.model_copy(update={"title": "Intact" + SECRET})
    record = make_record([cell], [{"id": "intact", "title": "Intact"}], "asr-against-accuracy")
    (tmp_path / "record.json").write_text(record.model_dump_json())
    figure = tmp_path / "figure.svg"
    result = CliRunner().invoke(main, ["figure", str(tmp_path / "record.json"), "--out", str(figure)])
    assert result.exit_code == 0, result.output
    assert "⟨HF_TOKEN⟩" in figure.read_text()
    assert "MARKED" not in figure.read_text() + result.output
