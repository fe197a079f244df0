"""A package with plugins, installed and used in a real run."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import ROOT, environment
from tests.installed import install

PACKAGE = Path(__file__).parent / "plugin_package"
BENCHMARK = """
id: row-relative
title: Top weights relative to their row
source: {work: ours}
layout: sureness
cells:
  - {id: intact, title: Intact model}
  - id: top
    title: Top by |W| relative to the row
    region: {select: top, method: row-relative, fraction: 0.01}
  - id: far
    title: Outliers
    region: {select: outliers, deviations: 4.0}
evaluations:
  - {kind: first-token, dataset: evaluation-requests, prompts: 8}
golden_values: none
"""
JUDGED = """
id: judged
title: Answers that speak of what was asked
source: {work: ours}
cells:
  - {id: intact, title: Intact model}
  - {id: planted, title: Planted region removed, region: {select: planted}}
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 6, system_prompt: true, chat_template: true,
     judges: [own, {judge: to-the-point, times: 2}]}
golden_values: none
"""


def sha256_of_package():
    digest = hashlib.sha256()
    for path in sorted((PACKAGE / "row_relative_plugin").rglob("*.py")):
        digest.update(path.relative_to(PACKAGE / "row_relative_plugin").as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    install(PACKAGE, folder / "site")
    (folder / "own.yaml").write_text(BENCHMARK)
    return folder


def harness(folder, *arguments):
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(folder / "site", ROOT), capture_output=True, text=True, check=False
    )


def run(folder, *options, spec="own.yaml"):
    """The record of a run with the options."""
    before = set(folder.rglob("record.json"))
    result = harness(folder, "run", spec, "--model", "tiny-llama2-chat", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = set(folder.rglob("record.json")) - before
    return json.loads(path.read_text())


def scores_of(folder):
    return set((folder / "runs" / "store").rglob("*.safetensors"))


def test_an_installed_package_is_used_and_named_in_the_record(folder):
    listed = json.loads(harness(folder, "list", "--json").stdout)
    assert listed["from"] == {
        "attribution": {"row_relative": "row-relative-plugin 0.1.0"},
        "engines": {"one_at_a_time": "row-relative-plugin 0.1.0"},
        "evaluations": {"first_token": "row-relative-plugin 0.1.0"},
        "executors": {"in_order": "row-relative-plugin 0.1.0"},
        "regions": {"outliers": "row-relative-plugin 0.1.0"},
        "layouts": {"sureness": "row-relative-plugin 0.1.0"},
        "judges": {"to_the_point": "row-relative-plugin 0.1.0"},
    }
    record = run(folder, "--engine", "one-at-a-time", "--executor", "in-order")
    facts = record["provenance"]
    assert facts["command"].endswith(" --engine one-at-a-time --executor in-order")
    assert facts["engine"].startswith("one-at-a-time: one at a time, transformers ")
    origin = {"distribution": "row-relative-plugin", "version": "0.1.0", "sha256": sha256_of_package()}
    names = ("attribution/row_relative", "engines/one_at_a_time", "evaluations/first_token", "executors/in_order")
    names += ("layouts/sureness", "regions/outliers")
    assert facts["plugins"] == dict.fromkeys(names, origin)
    intact, edited, far = record["cells"]
    assert 0.0 < intact["measurements"][0]["value"] <= 1.0
    assert edited["receipt"]["sparsity"] == pytest.approx(0.01, abs=0.003)
    assert edited["unchecked"][0] == "method row_relative: no plain definition"
    assert edited["unchecked"][1].startswith("evaluation first_token: no receipt")
    assert 0 < far["receipt"]["sparsity"] < 0.01
    assert [each["holds"] for each in far["receipts"] if each["name"] == "plain-definition"] == [True]
    assert len(far["unchecked"]) == 1  # its region is checked by its own plain definition
    report = harness(folder, "report", "runs", "--out", "report.html")
    assert report.returncode == 0, report.stderr
    page = (folder / "report.html").read_text()
    assert f"<li>far: {far['measurements'][0]['value']:.2f}</li>" in page


def test_cells_of_changed_source_are_measured_anew(folder):
    """In pool processes as well, which the executor `local` starts: they find the package too."""
    first, scores = run(folder), scores_of(folder)
    (unfinished,) = (path for path in folder.rglob("record.json") if json.loads(path.read_text())["id"] == first["id"])
    unfinished.unlink()
    with (folder / "site" / "row_relative_plugin" / "versions.py").open("a") as file:
        file.write("\n# Another comment.\n")
    second = run(folder)
    names = {"attribution/row_relative", "evaluations/first_token", "layouts/sureness", "regions/outliers"}
    assert set(first["provenance"]["plugins"]) == names
    hashes = [record["provenance"]["plugins"]["attribution/row_relative"]["sha256"] for record in (first, second)]
    assert hashes[0] != hashes[1]
    assert second["id"] == first["id"]
    assert set(second["provenance"]["measured_anew"]) == {cell["id"] for cell in first["cells"]}
    assert first["cells"][1]["measurements"] == second["cells"][1]["measurements"]
    assert len(scores_of(folder) - scores) == 1


def test_its_judge_is_measured_and_judges(folder):
    (folder / "judged.yaml").write_text(JUDGED)
    record = run(folder, spec="judged.yaml")
    assert set(record["provenance"]["plugins"]) == {"judges/to_the_point"}
    intact, planted = ({m["metric"]: m for m in cell["measurements"]} for cell in record["cells"])
    assert intact["asr_vanilla_by_to-the-point"]["value"] == 0.0
    assert planted["asr_vanilla_by_to-the-point"]["value"] > 0.5
    assert planted["asr_vanilla_by_to-the-point"]["n"] == 6
    found = record["cells"][1]["judges"]["to-the-point"]
    assert found["confusion"]["answer"]["success"] >= 3
    assert found["confusion"]["other_answer"] == {"no success": 6}
    assert (
        "judge to-the-point: no independent reader makes its judgements a second time"
        in record["cells"][0]["unchecked"]
    )
