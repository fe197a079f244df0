"""Catalogues: what is found where, what hides what, and where golden values are written."""

import json
import os
import shutil

import pytest
from click.testing import CliRunner

from harness import plugins
from harness.cli import main
from harness.errors import UserError
from harness.runs.binding import load_golden
from harness.spec import locations

BENCHMARK = """
id: {name}
title: {title}
source: {{work: test}}
cells: [{{id: intact, title: Intact}}]
golden_values: none
evaluations:
  - {{kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 3}}
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def benchmark(folder, name, title):
    write(folder / "benchmarks" / f"{name}.yaml", BENCHMARK.format(name=name, title=title))


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory without benchmarks."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """What ships, as if it lay inside an installed package."""
    package = tmp_path / "site-packages" / "harness"
    for folder in ("benchmarks", "golden"):
        shutil.copytree(locations.root() / folder, package / "shipped" / folder)
    monkeypatch.setattr(locations, "_PACKAGE", package)
    monkeypatch.setattr(locations, "_SHIPPED", package / "shipped")
    return package


def test_the_first_catalogue_that_has_a_benchmark_wins(elsewhere, tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    benchmark(first, "mine", "of the first")
    benchmark(second, "mine", "of the second")
    benchmark(second, "figure-9", "another figure 9")
    benchmark(elsewhere, "mine", "of the working directory")
    benchmark(elsewhere, "here", "of the working directory")
    monkeypatch.setenv(locations.VARIABLE, str(second))
    result = invoke("list", "--json", "--catalogue", first)
    content = json.loads(result.stdout)
    assert content["benchmarks"]["mine"] == "of the first"
    assert content["benchmarks"]["here"] == "of the working directory"
    assert content["benchmarks"]["figure-9"] == "another figure 9"
    assert set(content["benchmarks"]) > {"figure-2a", "table-3"}
    assert content["from"]["benchmarks"] == {
        "figure-9": f"{second}, hides that of {plugins.SHIPPED}",
        "here": str(elsewhere),
        "mine": f"{first}, hides that of {second} and of {elsewhere}",
    }
    assert f"of the first [{first}, hides" in invoke("--catalogue", first, "list").stdout
    assert os.environ[locations.VARIABLE] == str(second)


def test_nothing_is_named_where_all_of_it_ships(elsewhere):
    assert json.loads(invoke("list", "--json").stdout)["from"] == {}


def test_a_file_that_is_not_valid_hides_no_other(elsewhere):
    write(elsewhere / "benchmarks" / "speed.yaml", "rounds: 3\n")
    result = invoke("list")
    assert result.exit_code == 0
    assert "not valid: see harness validate" in result.stdout and "figure-2a" in result.stdout
    assert invoke("validate").exit_code == 2


def test_an_unknown_name_says_where_was_searched(elsewhere, tmp_path):
    benchmark(tmp_path / "own", "mine", "Mine")
    result = invoke("run", "mime", "--model", "tiny-llama2-chat", "--catalogue", tmp_path / "own")
    assert result.exit_code == 2
    assert f"'mime' in {tmp_path / 'own' / 'benchmarks'}, {locations.root() / 'benchmarks'};" in result.output
    assert "did you mean 'mine'?" in result.output
    assert f"in {locations.root() / 'benchmarks' / 'models'}" in invoke("plan", "mine", "--model", "tiny").output


def test_a_catalogue_that_is_not_there_is_bad_input(elsewhere, monkeypatch):
    result = invoke("list", "--catalogue", "nowhere")
    assert (result.exit_code, "'nowhere' does not exist" in result.output) == (2, True)
    monkeypatch.setenv(locations.VARIABLE, "nowhere")
    result = invoke("list")
    assert (result.exit_code, "nowhere: no such folder; expected a catalogue" in result.output) == (2, True)


def test_golden_values_come_from_the_first_catalogue_that_has_the_file(elsewhere, tmp_path, monkeypatch):
    write(tmp_path / "own" / "golden" / "v" / "b.yaml", "variant: v\nbenchmark: b\nvalues: []\n")
    write(elsewhere / "golden" / "v" / "b.yaml", "variant: v\nbenchmark: b\nclaims: {c: supported}\nvalues: []\n")
    assert load_golden("v", "b").claims == {"c": "supported"}
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path / "own"))
    assert load_golden("v", "b").claims == {}
    assert load_golden("tiny-llama2-chat", "figure-9").values


def test_an_installed_package_is_never_written_to(elsewhere, installed, monkeypatch):
    assert locations.golden_target("v", "b") == elsewhere / "golden" / "v" / "b.yaml"
    assert locations.golden_target("tiny-llama2-chat", "figure-9").is_relative_to(elsewhere)
    for place in (installed, installed / "shipped"):
        monkeypatch.setenv(locations.VARIABLE, str(place))
        with pytest.raises(UserError, match="cannot be written to"):
            locations.golden_target("v", "b")
    monkeypatch.setenv(locations.VARIABLE, os.pathsep.join([str(installed / "shipped"), str(elsewhere)]))
    assert locations.golden_target("v", "b") == elsewhere / "golden" / "v" / "b.yaml"
    with pytest.raises(UserError, match="found before"):
        locations.golden_target("tiny-llama2-chat", "figure-9")


def test_a_checkout_keeps_its_golden_values_unless_the_user_has_his_own(elsewhere, tmp_path, monkeypatch):
    assert locations.golden_target("v", "b") == locations.root() / "golden" / "v" / "b.yaml"
    (elsewhere / "golden").mkdir()
    assert locations.golden_target("v", "b") == elsewhere / "golden" / "v" / "b.yaml"
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    assert locations.golden_target("v", "b") == tmp_path / "golden" / "v" / "b.yaml"
