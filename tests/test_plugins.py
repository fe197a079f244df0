"""Plugins of other distributions, found by their entry points."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import plugins
from harness.cli import main
from harness.errors import UserError

ROOT = Path(__file__).parents[1]


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
    modules = {
        "counted": "counting.counted",
        "attack": "counting.counted",
        "cracked": "counting.nowhere",
        "bare": "counting.bare",
    }
    entries = {("evaluations", name): module for name, module in modules.items()}
    files = {"__init__": "", "counted": EVALUATION, "bare": "class Settings: ...\nclass Evaluation: ..."}
    distribution(tmp_path, "counting", entries, {f"counting/{name}.py": text for name, text in files.items()})
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "counted.yaml"
    path.write_text(SPEC.replace("KIND", kind).replace("MOST", most))
    result = CliRunner().invoke(main, ["validate", str(path)])
    assert result.exit_code == (2 if words else 0), result.output
    assert (words or "1 files are valid") in result.output
    for module in ("counting.counted", "counting.bare", "counting"):
        sys.modules.pop(module, None)


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
    modules = {
        "chosen": "choosing.chosen",
        "top": "choosing.chosen",
        "cracked": "choosing.nowhere",
        "bare": "choosing.bare",
    }
    entries = {("regions", name): module for name, module in modules.items()}
    files = {"__init__": "", "chosen": REGION, "bare": "class Settings: ...\nclass Region: ..."}
    distribution(tmp_path, "choosing", entries, {f"choosing/{name}.py": text for name, text in files.items()})
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "chosen.yaml"
    path.write_text(CELL.replace("SELECT", select).replace("LAYERS", layers))
    result = CliRunner().invoke(main, ["validate", str(path)])
    assert result.exit_code == (2 if words else 0), result.output
    assert (words or "1 files are valid") in result.output
    for module in ("choosing.chosen", "choosing.bare", "choosing"):
        sys.modules.pop(module, None)


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
    for path, found in ((str(ROOT), False), (os.pathsep.join([str(ROOT), str(tmp_path)]), True)):
        command = [sys.executable, "-m", "harness", "list", "--json"]
        result = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
        )
        assert ("trap" in json.loads(result.stdout)["engines"]) is found
