"""What the documents tell to add works as it stands there."""

import re
import shutil
import sys
from pathlib import Path

import pytest

import harness.attribution
import harness.engines
import harness.judges
from harness.organisms.catalogue import organism_directory
from harness.runs.binding import bind
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process
from tests.test_plugins import distribution

ROOT = Path(__file__).parents[1]
ADD = ROOT / "docs" / "how-to" / "add.md"


def blocks():
    """The fenced blocks of docs/how-to/add.md by the file that their first line names."""
    found = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", ADD.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The files of the page's examples, where the harness finds them.

    The evaluations that ship are read once in a process, so that of the page comes by an entry point.
    """
    for name, text in blocks().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for package in (harness.attribution, harness.engines, harness.judges):
        kind = package.__name__.replace(".", "/")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / kind)])
    evaluation = (tmp_path / "harness/evaluations/length.py").read_text(encoding="utf-8")
    site = tmp_path / "site"
    distribution(site, "readme", {("evaluations", "length"): "readme_length"}, {"readme_length.py": evaluation})
    monkeypatch.syspath_prepend(site)
    yield tmp_path
    sys.modules.pop("readme_length", None)


def test_the_examples_run_together(added):
    checkpoint = added / "checkpoint"
    shutil.copytree(organism_directory("tiny-llama2-chat"), checkpoint)
    shutil.copy(checkpoint / "data" / "evaluation_requests.txt", checkpoint / "requests.txt")
    variant_file = shutil.copy(added / "benchmarks/models/my-model.yaml", checkpoint / "variant.yaml")
    spec = load_yaml_model(added / "benchmarks/row-relative.yaml", BenchmarkSpec)
    variant = load_yaml_model(Path(variant_file), ModelVariant)
    record, _ = run_in_process(bind(spec, variant, Path(variant_file)), added / "runs")
    assert [cell.id for cell in record.cells] == [
        "intact",
        "row-relative-top_fraction0.005",
        "row-relative-top_fraction0.01",
    ]
    assert record.cell("intact").measurement("asr_vanilla").value == 0.0
    assert record.cells[2].receipt.sparsity == pytest.approx(0.01, abs=0.003)
    evaluation = "evaluation refusals: no receipt makes its figures a second time"
    method = "method row_relative: no plain definition"
    judges = tuple(
        f"judge {name}: no independent reader makes its judgements a second time" for name in ("own", "to-the-point")
    )
    unchecked = [(evaluation, *judges), (method, evaluation, *judges), (method, evaluation, *judges)]
    assert [cell.unchecked for cell in record.cells] == unchecked
    assert record.cell("intact").measurement("asr_vanilla_by_to-the-point").value == 0.0
    assert record.cell("intact").judges["to-the-point"].confusion["answer"] == {"success": 6}
    assert record.cell("intact").measurement("tokens_refusals").value > 3
    assert record.variant["engine"] == "one-by-one"
    assert record.verdict.status == "passed", record.verdict.reasons


def test_the_tree_names_every_package():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in Path(harness.__file__).parent.glob("*/__init__.py")}
    tree = text[text.index("## The tree") :]
    assert [name for name in sorted(packages) if f"{name}/" not in tree] == []
