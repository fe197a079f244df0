"""The examples of the public docstrings, the notebook, and a record as a data frame."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.api import benchmarks, models
from harness.spec import result

DOCS = Path(harness.__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def first_look(tmp_path_factory):
    """A run of the notebook's benchmark: its folder and record."""
    folder = tmp_path_factory.mktemp("first-look")
    record = harness.run(DOCS / "first-look.yaml", "tiny-llama2-chat", folder / "runs")
    return folder, record


def test_every_example_of_the_public_docstrings_is_as_it_says(first_look, monkeypatch):
    folder, record = first_look
    monkeypatch.chdir(folder)
    (folder / "first-look.yaml").write_text((DOCS / "first-look.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    names = {name: getattr(harness, name) for name in harness.__all__} | {"record": record, "harness": harness}
    tried = 0
    for module in (models, benchmarks, result):
        found = doctest.testmod(module, extraglobs=names)
        assert not found.failed
        tried += found.attempted
    assert tried > 15


def test_everything_public_has_an_example():
    for name in set(harness.__all__) - {"__version__", "RunRecord"}:
        assert "Example:" in getattr(harness, name).__doc__, name


def test_a_record_is_a_table_of_its_figures(first_look):
    _, record = first_look
    table = record.to_frame()
    assert len(table) == sum(len(cell.measurements) for cell in record.cells)
    row = table.query("cell == 'planted' and metric == 'asr_vanilla'").iloc[0]
    assert row.value == record.cell("planted").measurement("asr_vanilla").value
    assert (row.low, row.high) == record.cell("planted").measurement("asr_vanilla").interval
    assert not table.query("cell == 'snip-top' and metric == 'asr_vanilla'").iloc[0].valid


def test_a_cell_is_explained_from_the_folder_of_its_record(first_look):
    folder, record = first_look
    (story,) = harness.explain(folder / "runs" / record.id, "snip-top")
    assert story.departs == "text"


def test_the_notebook_runs_from_its_first_cell_to_its_last(first_look):
    folder, _ = first_look
    notebook = json.loads((DOCS / "first-look.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 5
    (folder / "first-look.yaml").write_text((DOCS / "first-look.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "INVALID" in done.stdout


def test_importing_the_package_loads_no_library():
    code = "import sys, harness; sys.exit(bool({'torch', 'transformers', 'pydantic', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
