"""The examples of the public docstrings, the notebook, and a record as a data frame."""

import doctest
import json
import re
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
    end = "end of a cell\n"
    program = "".join(f"{part}\nprint({end!r}, end='')\n" for part in code)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "INVALID" in done.stdout
    for shown, told in zip(shown_outputs(notebook), done.stdout.split(end), strict=False):
        assert WORDS.sub("", shown).split() == WORDS.sub("", told).split()
        assert numbers(shown) == pytest.approx(numbers(told), rel=0.1, abs=0.15)  # another processor, another text


#: Numbers, whose places in a table move with their width.
WORDS = re.compile(r"-?\d[\d.,]*")


def numbers(text):
    return [float(found.replace(",", "").rstrip(".")) for found in WORDS.findall(text)]


def shown_outputs(notebook):
    """What is shown below each code cell of the notebook as it ships: printed text, and nothing else."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert {output["name"] for output in cell["outputs"]} <= {"stdout"}
            yield "".join(line for output in cell["outputs"] for line in output["text"])


def test_the_notebook_ships_what_it_shows_and_no_path_of_a_machine():
    text = (DOCS / "first-look.ipynb").read_text(encoding="utf-8")
    shown = "".join(shown_outputs(json.loads(text)))
    assert "INVALID" in shown and "departs at: text" in shown
    assert len(text) < 20_000
    assert not re.search(r"/(home|root|tmp|Users|work)/", text)


def test_a_public_name_starts_pythons_own_process_before_libraries_do_deaf_to_a_hangup():
    code = """
import signal
from multiprocessing.resource_tracker import _resource_tracker as tracker
import harness
assert tracker._pid is None
harness.run
blocked = next(line for line in open(f"/proc/{tracker._pid}/status") if line.startswith("SigBlk:"))
assert int(blocked.split()[1], 16) & 1 << signal.SIGHUP - 1
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_loads_no_library():
    code = "import sys, harness; sys.exit(bool({'torch', 'transformers', 'pydantic', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
