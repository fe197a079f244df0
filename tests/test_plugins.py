"""Plugins of other distributions, found by their entry points."""

import importlib
import json
import os
import subprocess
import sys
import textwrap

import click
import pytest
from click.testing import CliRunner

from harness import plugins
from harness.cli import main
from harness.errors import UserError
from harness.exit_codes import with_exit_codes
from harness.runs.processes import pool
from tests.environment import ROOT, environment


def distribution(folder, name, entries, files):
    """An installed distribution by hand. entries: module by (group, name); files: source by path."""
    information = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [f"[brittleness_harness.{group}]\n{plugin} = {module}\n" for (group, plugin), module in entries.items()]
    (information / "entry_points.txt").write_text("\n".join(lines))
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(textwrap.dedent(text))


def listed():
    result = CliRunner().invoke(main, ["list", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_plugin_is_listed_with_its_distribution_and_not_imported(tmp_path, monkeypatch):
    distribution(tmp_path, "far", {("engines", "far-away"): "far_engine"}, {"far_engine.py": "raise SystemExit(9)"})
    monkeypatch.syspath_prepend(tmp_path)
    content = listed()
    assert content["engines"] == ["far_away", "hf", "vllm"]
    assert content["from"]["engines"] == {"far_away": "far 0.1"}
    assert "far_engine" not in sys.modules


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise SystemExit(9)", "cannot be imported: SystemExit: 9"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def make(loaded): ...", "has no `version`, no `problems`"),
    ],
)
def test_a_broken_plugin_is_told_with_its_distribution_before_weights_are_loaded(tmp_path, monkeypatch, source, words):
    module = f"broken_{abs(hash(source))}"
    distribution(tmp_path, "broken-one", {("engines", "cracked"): module}, {f"{module}.py": source})
    monkeypatch.syspath_prepend(tmp_path)
    arguments = ["run", "figure-9", "--model", "tiny-llama2-chat", "--engine", "cracked", "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert f"the engines plugin 'cracked' of broken-one 0.1 is broken: {module}" in result.output
    assert words in result.output
    assert not (tmp_path / "o").exists()


def test_an_entry_point_names_a_module(tmp_path, monkeypatch):
    distribution(tmp_path, "far", {("engines", "far"): "far_object:make"}, {"far_object.py": "make = None"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="expected a module, without `:`"):
        plugins.load("engines", "far")


def test_a_name_that_ships_is_not_taken_again(tmp_path, monkeypatch):
    distribution(tmp_path, "other-hf", {("engines", "hf"): "other_hf"}, {"other_hf.py": ""})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"'hf' is there twice: in brittleness-harness [\d.]+ and in other-hf 0.1"):
        plugins.load("engines", "hf")
    assert listed()["from"]["engines"]["hf"].endswith(" and other-hf 0.1")


def test_two_distributions_do_not_share_a_name(tmp_path, monkeypatch):
    for name in ("first", "second"):
        distribution(tmp_path, name, {("attribution", "row-relative"): f"{name}_method"}, {f"{name}_method.py": ""})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UserError, match=r"'row_relative' is there twice: in first 0\.1 and in second 0\.1; expected one"
    ):
        plugins.origin("attribution", "row_relative")


def install(folder, monkeypatch, name, kind, entries, files):
    """A distribution with one package. entries: modules of it by plugin. files: their source."""
    sources = {f"{name}/{file}.py": text for file, text in {"__init__": "", **files}.items()}
    distribution(folder, name, {(kind, plugin): f"{name}.{file}" for plugin, file in entries.items()}, sources)
    monkeypatch.syspath_prepend(folder)
    for module in (name, *(f"{name}.{file}" for file in files)):
        monkeypatch.delitem(sys.modules, module, raising=False)


def check(folder, text, words):
    """What `harness validate` says of a spec; it is valid unless there are words to be said against it."""
    path = folder / "spec.yaml"
    path.write_text(text)
    result = CliRunner().invoke(main, ["validate", str(path)])
    assert result.exit_code == (2 if words else 0), result.output
    assert (words or "1 files are valid") in result.output
    return result.output


EVALUATION = """
    from typing import Literal
    from harness.evaluations import base
    from harness.spec.evaluation import DeclaredEvaluation

    class Settings(DeclaredEvaluation):
        kind: Literal["counted"]
        name: str = "counted"
        most: int

        @property
        def metrics(self):
            return ["counted"]

    class Evaluation(base.Evaluation[Settings]): ...
"""
SPEC = """
id: counted
title: Counted
source: {work: test}
cells: [{id: intact, title: Intact}]
golden_values: none
evaluations:
  - {kind: KIND, most: MOST}
"""


@pytest.mark.parametrize(
    ("kind", "most", "words"),
    [
        ("counted", "3", None),
        ("counted", "many", ":8: evaluations[0].most is 'many'; expected a valid integer"),
        ("count", "3", ":8: evaluations[0]: kind is count; expected one of attack, bare, counted, cracked"),
        ("attack", "3", ":8: evaluations[0]: the evaluations plugin 'attack' is there twice"),
        ("cracked", "3", ":8: evaluations[0]: the evaluations plugin 'cracked' of counting 0.1 is broken"),
        ("bare", "3", "counting.bare.Settings derives from no DeclaredEvaluation (harness.spec.evaluation)"),
    ],
)
def test_a_spec_with_an_evaluation_of_another_distribution_is_checked_as_any(tmp_path, monkeypatch, kind, most, words):
    files = {"counted": EVALUATION, "bare": "class Settings: ...\nclass Evaluation: ..."}
    entries = {"counted": "counted", "attack": "counted", "cracked": "nowhere", "bare": "bare"}
    install(tmp_path, monkeypatch, "counting", "evaluations", entries, files)
    check(tmp_path, SPEC.replace("KIND", kind).replace("MOST", most), words)


ASKED = """{kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 2, system_prompt: true,
     chat_template: true, judges: [silent]}"""
REGION = """
    from typing import Literal
    from harness.regions import base
    from harness.spec.region import RegionSettings

    class Settings(RegionSettings):
        select: Literal["chosen"]
        layers: int

    class Region(base.Region): ...
"""
CELL = """
id: chosen
title: Chosen
source: {work: test}
golden_values: none
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 3}
cells:
  - {id: intact, title: Intact}
  - id: chosen
    title: Chosen
    region: {select: SELECT, layers: LAYERS}
"""


@pytest.mark.parametrize(
    ("select", "layers", "words"),
    [
        ("chosen", "3", None),
        ("chosen", "many", ":12: cells[1].region.layers is 'many'; expected a valid integer"),
        ("top", "3", ":12: cells[1].region: the regions plugin 'top' is there twice"),
        ("cracked", "3", ":12: cells[1].region: the regions plugin 'cracked' of choosing 0.1 is broken"),
        ("bare", "3", "its Settings derives from no RegionSettings (harness.spec.region)"),
        ("chose", "3", ":12: cells[1].region.select: select is chose; expected one of act-svd"),
    ],
)
def test_a_region_of_another_distribution_that_cannot_be_used_is_told_at_its_line(
    tmp_path, monkeypatch, select, layers, words
):
    files = {"chosen": REGION, "bare": "class Settings: ...\nclass Region: ..."}
    entries = {"chosen": "chosen", "top": "chosen", "cracked": "nowhere", "bare": "bare"}
    install(tmp_path, monkeypatch, "choosing", "regions", entries, files)
    check(tmp_path, CELL.replace("SELECT", select).replace("LAYERS", layers), words)


RAISING = """
    @pydantic.model_validator(mode="after")
    def unlucky(self):
        return 1 // 0
"""


@pytest.mark.parametrize(
    ("kind", "spec", "source", "raising", "place"),
    [
        ("evaluations", SPEC.replace("KIND", "odd"), EVALUATION.replace("counted", "odd"), "most: int", ":8: evaluati"),
        ("evaluations", SPEC.replace("KIND", "odd"), EVALUATION.replace("counted", "odd"), None, ""),
        ("regions", CELL.replace("SELECT", "odd"), REGION.replace("chosen", "odd"), "layers: int", ":12: cells[1].reg"),
    ],
)
def test_whatever_a_plugins_own_code_raises_is_told_as_that_plugins(
    tmp_path, monkeypatch, kind, spec, source, raising, place
):
    source = "import pydantic\n" + textwrap.dedent(source)
    if raising is None:
        source = source.replace("""return ["odd"]""", "return [1 // 0]")
    else:
        source = source.replace(f"    {raising}\n", f"    {raising}\n{RAISING}")
    install(tmp_path, monkeypatch, "unlucky", kind, {"odd": "odd"}, {"odd": source})
    line = next(number for number, text in enumerate(source.splitlines(), 1) if "1 // 0" in text)
    output = check(
        tmp_path, spec.replace("MOST", "3").replace("LAYERS", "3"), f"the {kind} plugin 'odd' of unlucky 0.1"
    )
    assert f"is broken: {tmp_path}/unlucky/odd.py:{line} raised ZeroDivisionError" in output
    assert place in output and "Traceback" not in output


WORK = """
class Odd(Exception):
    def __init__(self, what, where):
        super().__init__(what)

def divides():
    return 1 // 0

def raises_its_own():
    raise Odd("no such layer", "here")

def ends():
    raise SystemExit(0)

def finds_no_file():
    return open("/nowhere/at/all").read()
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("divides", "raised ZeroDivisionError: integer division"),
        ("raises_its_own", "raised Odd: no such layer"),
        ("ends", "raised SystemExit: 0"),
        ("finds_no_file", "raised FileNotFoundError"),
    ],
)
def test_what_a_plugin_raises_is_told_as_that_plugins_in_a_worker_and_in_the_first_process(
    tmp_path, monkeypatch, name, words
):
    install(tmp_path, monkeypatch, "working", "attribution", {"odd": "odd"}, {"odd": WORK})
    work = getattr(importlib.import_module("working.odd"), name)

    def command():
        with pool(1) as workers:
            workers.result(workers.submit(work))

    for called in (command, work):
        result = CliRunner().invoke(click.command()(with_exit_codes(called)))
        assert result.exit_code == 2
        assert f"the attribution plugin 'odd' of working 0.1 is broken: {tmp_path}" in result.output
        assert words in result.output and "Traceback" not in result.output


def test_the_hash_is_of_the_whole_package(tmp_path, monkeypatch):
    for number, helper in enumerate(("A = 1", "A = 1", "A = 2")):
        files = {f"pack{number}/{name}.py": "" for name in ("__init__", "inner/__init__", "inner/engine")}
        parts = "make = version = problems = None"
        files |= {f"pack{number}/inner/engine.py": parts, f"pack{number}/helper.py": helper}
        distribution(tmp_path, f"pack-{number}", {("engines", f"e{number}"): f"pack{number}.inner.engine"}, files)
    monkeypatch.syspath_prepend(tmp_path)
    first, same, other = (plugins.origin("engines", f"e{number}") for number in range(3))
    assert (first.distribution, first.version) == ("pack-0", "0.1")
    assert first.sha256 == same.sha256 != other.sha256
    assert plugins.origin("engines", "hf") is None


def test_a_plugin_in_the_folder_of_a_model_is_never_found(tmp_path):
    """`python -m harness` puts the working directory on Python's path, and a checkpoint may hold anything."""
    distribution(tmp_path, "trap", {("engines", "trap"): "trap"}, {"trap.py": ""})
    for path, found in (((ROOT,), False), ((ROOT, tmp_path), True)):
        command = [sys.executable, "-m", "harness", "list", "--json"]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment(*path), capture_output=True, text=True, check=True
        )
        assert ("trap" in json.loads(result.stdout)["engines"]) is found


@pytest.mark.parametrize(
    ("kind", "name", "source", "spec", "words"),
    [
        ("evaluations", "counted", EVALUATION, SPEC.replace("KIND", "counted").replace("MOST", "3"), "no measure()"),
        ("regions", "chosen", REGION, CELL.replace("SELECT", "chosen").replace("LAYERS", "3"), "no find()"),
        (
            "judges",
            "silent",
            "from harness.judges import base\nclass Judge(base.Judge): ...",
            SPEC.replace("{kind: KIND, most: MOST}", ASKED),
            "no judge()",
        ),
    ],
)
def test_a_class_without_what_its_kind_is_for_is_told_before_weights_are_loaded(
    tmp_path, monkeypatch, kind, name, source, spec, words
):
    install(tmp_path, monkeypatch, "lacking", kind, {name: f"lacking_{name}"}, {f"lacking_{name}": source})
    path = tmp_path / f"{spec.split()[1]}.yaml"
    path.write_text(spec)
    arguments = ["run", str(path), "--model", "tiny-llama2-chat", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    output = " ".join(result.output.split())
    assert f"the {kind} plugin {name!r} of lacking 0.1 is broken" in output and words in output
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_added_to_a_package_is_found_by_the_process_that_runs(tmp_path, monkeypatch):
    from harness import judges

    assert "added" not in plugins.names("judges")
    monkeypatch.setattr(judges, "__path__", [*judges.__path__, str(tmp_path)])
    assert "added" not in plugins.names("judges")
    (tmp_path / "added.py").write_text("")
    os.utime(tmp_path, ns=(1, 1))
    assert "added" in plugins.names("judges")
