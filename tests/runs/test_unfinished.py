"""An interrupted run after a change of the code: what the change concerns is measured again, and nothing else."""

import json
import shutil
from dataclasses import replace

import pytest

from harness.runs import computed_by
from harness.runs.stored import entries
from harness.runs.unfinished import kept_cells, outdated
from harness.spec.manifest import doubts
from tests.runs.conftest import run_in_process

CELLS = {"intact", "planted", "difference_p0.05_q0.05", "blocks"}
CHANGED = "what computes it has changed"


@pytest.fixture
def folder(finished, tmp_path):
    """The folder of a run that was stopped before its record was written."""
    _, record, out = finished
    shutil.copytree(out, tmp_path / "runs")
    folder = tmp_path / "runs" / record.parent.relative_to(out)
    (folder / "record.json").unlink()
    return folder


@pytest.fixture
def another(monkeypatch):
    """another(kind, name): the file of this plugin is another one than it was."""

    def change(*plugin):
        code = computed_by._code

        def changed(roots, named):
            found = code(roots, named)
            return {**found, "source": "another"} if plugin in named else found

        monkeypatch.setattr(computed_by, "_code", changed)

    return change


def texts(folder):
    return {path.name: path.read_bytes() for path in (folder / "private-completions").glob("*.gz")}


def written(folder):
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}


def test_a_change_of_a_method_concerns_the_cells_that_rest_on_it(bound, finished, folder, another):
    another("attribution", "wanda")
    before, said = written(folder), texts(folder)
    assert outdated(folder) == {"difference_p0.05_q0.05": CHANGED}
    assert set(kept_cells(folder.parents[2], *folder.parts[-3:-1], sorted(CELLS))) == CELLS - {*outdated(folder)}
    (run,) = (entry for entry in entries(folder.parents[2]) if entry.kind == "unfinished run")
    assert (run.state, run.why) == ("current", f"1 of 4 cells are measured again: {CHANGED}")
    record, path = run_in_process(bound, folder.parents[2])
    assert path.parent == folder
    assert record.provenance.measured_anew == {"difference_p0.05_q0.05": CHANGED}
    assert record.provenance.resumed == 3
    after = written(folder)
    assert {cell for cell in CELLS if after[cell] != before[cell]} == {"difference_p0.05_q0.05"}
    assert texts(folder) == said
    assert [cell.measurements for cell in record.cells] == [cell.measurements for cell in finished[0].cells]
    assert doubts(folder, record) == []
    assert outdated(folder) == {}


def test_what_every_cell_rests_on_makes_all_of_them_and_the_canaries_anew(bound, finished, folder, another):
    another("engines", "hf")
    (folder / "cells" / "blocks.json").unlink()
    (run,) = (entry for entry in entries(folder.parents[2]) if entry.kind == "unfinished run")
    assert (run.state, run.why) == ("stale", CHANGED)
    canaries = (folder / "canaries.json").stat().st_mtime_ns
    record, path = run_in_process(bound, folder.parents[2])
    assert path.parent == folder
    assert record.provenance.resumed == 0
    assert set(record.provenance.measured_anew) == CELLS - {"blocks"}  # which was not there to be measured anew
    assert (folder / "canaries.json").stat().st_mtime_ns > canaries
    assert record.canaries == finished[0].canaries


def test_a_change_of_one_cells_data_concerns_that_cell(bound, finished, folder):
    other = replace(bound, data_sha256={**bound.data_sha256, "utility": "0" * 64})
    record, path = run_in_process(other, folder.parents[2])
    assert path.parent == folder
    assert record.provenance.measured_anew == {"difference_p0.05_q0.05": "the data that it rests on have changed"}


def test_a_run_of_which_nobody_knows_what_made_its_cells_is_no_longer_read(folder):
    header = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({"key": header["key"], "machine": header["machine"]}))
    (run,) = (entry for entry in entries(folder.parents[2]) if entry.kind == "unfinished run")
    assert (run.state, run.why) == (
        "stale",
        "run.json is of an earlier version, or has changed: what measured it is unknown",
    )


def test_a_header_that_is_not_as_it_was_written_vouches_for_no_cell(bound, folder, another):
    another("attribution", "wanda")
    header = json.loads((folder / "run.json").read_text())
    header["cells"] = {cell: {**basis, "key": "0" * 64} for cell, basis in header["cells"].items()}
    (folder / "run.json").write_text(json.dumps(header))
    assert set(outdated(folder)) == CELLS
    record, path = run_in_process(bound, folder.parents[2])
    assert path.parent == folder
    assert record.provenance.resumed == 0
    assert set(record.provenance.measured_anew) == CELLS
