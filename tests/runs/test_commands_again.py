"""The commands that a record and its report print do what they say, as printed."""

import html
import re
import shlex

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.runs.journal import read_record
from harness.spec import locations

SPEC = """
id: text-alone
title: Perplexity of the intact organism
source: {work: test}
cells: [{id: intact, title: Intact}]
evaluations: [{kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}]
golden_values: none
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder with a spec and a variant whose names are none of the shipped ones; the working directory."""
    (tmp_path / "a spec.yaml").write_text(SPEC)
    variant = locations.find_variant("tiny-llama2-chat").read_text()
    (tmp_path / "mine.yaml").write_text(variant.replace("name: tiny-llama2-chat", "name: my-organism", 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def done(command):
    program, *arguments = shlex.split(command)
    assert program == "harness"
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_the_printed_commands_run_the_benchmark_again(folder):
    spec = shlex.quote(str(folder / "a spec.yaml"))
    done(f"harness reproduce --only {spec} --model {folder / 'mine.yaml'} --out r/x")
    (path,) = folder.rglob("record.json")
    command = read_record(path).provenance.command
    assert command == "harness run 'a spec.yaml' --model mine.yaml"
    printed = re.findall(r"<code>(harness run [^<]*)</code>", (folder / "r" / "x" / "report.html").read_text())
    assert [html.unescape(text) for text in printed[-2:]] == [
        command,
        f"harness run {path.relative_to(folder / 'r')} --model mine.yaml",
    ]
    done(command + " --out again")
    (folder / "r" / "x").rename(folder / "x")
    done(html.unescape(printed[-1]) + " --out from-record")
    figures = [
        read_record(next((folder / out).rglob("record.json"))).cells[0].measurements
        for out in ("x", "again", "from-record")
    ]
    assert figures[0] == figures[1] == figures[2]
