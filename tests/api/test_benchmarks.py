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
from harness.runs.journal import read_record
from harness.spec import result

DOCS = Path(harness.__file__).resolve().parent.parent / "docs"


NOTEBOOK = DOCS / "first-look.ipynb"
END = "end of a cell"


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """The notebook's cells, typed one by one into a fresh Python in an empty folder: the folder, and what each said."""
    folder = tmp_path_factory.mktemp("first-look")
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    keys = "".join("".join(cell["source"]) + f"\n\nprint({END!r})\n" for cell in cells)
    fresh = [sys.executable, "-i", "-q"]
    done = subprocess.run(fresh, input=keys, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    *said, rest = done.stdout.split(END + "\n")
    assert (len(said), rest) == (len(cells), "")
    return folder, said


@pytest.fixture(scope="module")
def first_look(typed):
    """The run of the notebook's benchmark: its folder and record."""
    folder, _ = typed
    (path,) = folder.glob("runs/tiny-llama2-chat/first-look/*/record.json")
    return folder, read_record(path)


def test_every_example_of_the_public_docstrings_is_as_it_says(first_look, monkeypatch):
    folder, record = first_look
    monkeypatch.chdir(folder)
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


def test_the_notebook_shows_what_its_cells_say_when_typed_by_hand(typed):
    _, said = typed
    assert len(said) >= 6
    assert "INVALID" in "".join(said)
    for shown, told in zip(shown_outputs(json.loads(NOTEBOOK.read_text(encoding="utf-8"))), said, strict=True):
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
    text = NOTEBOOK.read_text(encoding="utf-8")
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
