"""What was finished is bound: files of a run that are others than those that were written count for nothing."""

import hashlib
import json
import os
import shutil

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.runs.journal import Journal, read_record
from harness.spec.manifest import doubts, read_manifest
from harness.spec.receipt import CheckpointReceipt, FineTuningReceipt
from tests.run_texts import text_of, write_text
from tests.runs.conftest import run_in_process

CELL, TEXTS = "cells/planted.json", "private-completions/planted.jsonl.gz"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run's folder, at its place."""
    _, path, out = finished
    shutil.copytree(out, tmp_path / "runs", ignore=shutil.ignore_patterns("store"))
    return tmp_path / "runs" / path.parent.relative_to(out)


def edited(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def figure(run, value):
    edited(run / CELL, lambda cell: cell["measurements"][0].update(value=value))


def rehashed(run):
    """A text edited, and hashed again in the cell."""
    path = run / TEXTS
    write_text(path, text_of(path).replace("I", "J"))
    sha256 = hashlib.sha256(text_of(path).encode()).hexdigest()
    edited(run / CELL, lambda cell: cell.update(completions_sha256=sha256))


def swapped(run):
    for folder, ending in (("cells", "json"), ("private-completions", "jsonl.gz")):
        one, other = (run / folder / f"{name}.{ending}" for name in ("planted", "intact"))
        held = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(held)


def linked(run):
    path = run / CELL
    path.rename(run.parent / "elsewhere.json")
    path.symlink_to(run.parent / "elsewhere.json")


def replaced(run, make):
    (run / CELL).unlink()
    make(run / CELL)


def other_manifest(run):
    edited(run / "manifest.json", lambda content: content.update(id="tiny-llama2-chat/small/other"))


def unlisted(run):
    edited(run / "manifest.json", lambda content: content["files"].pop(CELL) and None)


TAMPERED = {
    "a figure": (lambda run: figure(run, 0.9), "cells/planted.json has changed"),
    "no receipts": (lambda run: edited(run / CELL, lambda c: c.update(receipts=[])), "has changed"),
    "another id": (lambda run: edited(run / CELL, lambda c: c.update(id="intact")), "has changed"),
    "a text": (lambda run: (run / TEXTS).write_text("{}\n"), "private-completions/planted.jsonl.gz has changed"),
    "a text, hashed again": (rehashed, "has changed"),
    "two cells swapped": (swapped, "has changed"),
    "no texts": (lambda run: (run / TEXTS).unlink(), "private-completions/planted.jsonl.gz: no such file"),
    "empty": (lambda run: (run / CELL).write_text(""), "has changed"),
    "cut off": (lambda run: os.truncate(run / CELL, 100), "has changed"),
    "other bytes": (lambda run: (run / CELL).write_bytes(b"\xff\xfe"), "has changed"),
    "a folder": (lambda run: replaced(run, lambda path: path.mkdir()), "is a folder"),
    "a pipe": (lambda run: replaced(run, os.mkfifo), "is a named pipe"),
    "a link": (linked, "is a link"),
    "another run's manifest": (other_manifest, "of another run, tiny-llama2-chat/small/other"),
    "not in the manifest": (unlisted, "cells/planted.json is not in manifest.json"),
    "no manifest": (lambda run: (run / "manifest.json").unlink(), "manifest.json: no such file"),
    "a broken manifest": (lambda run: (run / "manifest.json").write_text("[]"), "not the manifest of a run"),
    "a manifest that leads out": (
        lambda run: edited(run / "manifest.json", lambda c: c["files"].update({"../x": "0" * 64})),
        "not the manifest of a run",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_cell_that_was_tampered_with_is_not_finished_and_the_file_is_named(run, name):
    tamper, words = TAMPERED[name]
    journal = Journal(run)
    assert journal.finished("planted") is not None
    assert journal.departure("planted") is None
    tamper(run)
    assert journal.finished("planted") is None
    assert words in journal.departure("planted")
    assert str(run) not in journal.departure("planted")  # it stands in the record


@pytest.mark.parametrize("name", TAMPERED)
def test_a_record_whose_files_were_tampered_with_becomes_no_golden_value(run, name, tmp_path):
    TAMPERED[name][0](run)
    assert doubts(run, read_record(run / "record.json"))
    assert_refused(run, tmp_path)


def assert_refused(run, tmp_path, words="nothing bears it out"):
    command = ["--catalogue", str(tmp_path), "accept", str(run / "record.json"), "--reason", "why"]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, str(run / "record.json") in result.output) == (2, True), result.output
    assert words in result.output
    assert not (tmp_path / "golden").exists()


RECORDS = {
    "a figure": lambda record: record["cells"][1]["measurements"][0].update(value=0.9),
    "a cell gone": lambda record: record["cells"].pop() and None,
    "a cell twice": lambda record: record["cells"].append(record["cells"][0]),
    "canaries gone": lambda record: record.update(canaries=[]),
    "a canary": lambda record: record["canaries"][0].update(seen="all is well"),
    "no manifest": lambda record: record.pop("manifest_sha256") and None,
    "the hash of the manifest": lambda record: record.update(manifest_sha256="0" * 64),
    "another run's id": lambda record: record.update(id="tiny-llama2-chat/small/20200101T000000-00000000"),
    "the verdict": lambda record: record["verdict"].update(reasons=["none"]),
    "a claim": lambda record: record["claims"][0].update(status="contradicted"),
    "another benchmark": lambda record: record["spec"].update(id="figure-2a"),
    "a claim of the spec": lambda record: record["spec"]["claims"][0]["conditions"][0].update(at_least=0.1),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_was_tampered_with_becomes_no_golden_value(run, name, tmp_path):
    edited(run / "record.json", RECORDS[name])
    assert_refused(run, tmp_path)


def test_files_that_nobody_wrote_are_named(run, tmp_path):
    record = read_record(run / "record.json")
    assert doubts(run, record) == []
    (run / "cells" / "extra.json").write_text("{}")
    assert doubts(run, record) == ["cells/extra.json is no file of the run"]
    assert_refused(run, tmp_path)


def test_a_folder_of_cells_that_a_link_leads_to_is_none_of_the_run(run, tmp_path):
    (run / "cells").rename(tmp_path / "elsewhere")
    (run / "cells").symlink_to(tmp_path / "elsewhere")
    assert "cells is no file of the run" in doubts(run, read_record(run / "record.json"))
    assert Journal(run).finished("planted") is None
    assert_refused(run, tmp_path)


def test_checkpoints_are_those_of_the_receipts_or_gone(run):
    place = run / "checkpoints" / "planted" / "step-000005" / "weights.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"trained")
    files = {"weights.safetensors": hashlib.sha256(b"trained").hexdigest()}
    tuned = FineTuningReceipt.model_construct(checkpoints=(CheckpointReceipt(step=5, files_sha256=files),))
    record = read_record(run / "record.json")
    cells = [cell.model_copy(update={"fine_tuning": tuned} if cell.id == "planted" else {}) for cell in record.cells]
    record = record.model_copy(update={"cells": tuple(cells)})
    assert not any("checkpoints" in doubt for doubt in doubts(run, record))
    place.write_bytes(b"trained on")
    name = place.relative_to(run).as_posix()
    assert doubts(run, record) == [f"{name} has changed since it was written: its SHA-256 is not that of its receipt"]
    place.rename(place.with_name("other.safetensors"))
    assert doubts(run, record) == [f"{name.replace('weights', 'other')} is in no receipt of a fine-tuning"]
    shutil.rmtree(run / "checkpoints")
    assert not any("checkpoints" in doubt for doubt in doubts(run, record))


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("spec", "evaluations"),
        ("spec", "cells"),
        ("spec", "id"),
        ("spec", "source"),
        ("spec", "claims"),
        ("spec", "calibration"),
        ("variant", "name"),
    ],
)
def test_a_record_whose_spec_or_variant_lacks_a_part_is_refused(run, part, key, tmp_path):
    edited(run / "record.json", lambda record: record[part].pop(key) and None)
    command = ["--catalogue", str(tmp_path), "accept", str(run / "record.json"), "--reason", "why"]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, str(run / "record.json") in result.output) == (2, True), result.output


def test_a_whole_run_becomes_golden_values_wherever_its_folder_lies(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(run, elsewhere)
    command = ["--catalogue", str(tmp_path), "accept", str(elsewhere / "record.json"), "--reason", "why"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "golden" / "tiny-llama2-chat" / "small.yaml").is_file()


@pytest.mark.parametrize("command", ["explain", "compare", "report"])
def test_commands_that_only_tell_say_what_is_not_borne_out(run, tmp_path, command):
    figure(run, 0.9)
    record = str(run / "record.json")
    arguments = {"explain": [record], "compare": [record, record], "report": [str(run), "--out", str(tmp_path / "r")]}
    result = CliRunner().invoke(main, [command, *arguments[command]])
    assert result.exit_code == 0, result.output
    assert f"warning: {record}: cells/planted.json has changed since it was written" in result.output


def test_the_manifest_names_every_file_of_a_run_and_the_record_names_the_manifest(run):
    held = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert held - read_manifest(run).files.keys() == {"manifest.json", "record.json", "lock", "manifest.lock"}
    assert {"run.json", "canaries.json", CELL, TEXTS} <= read_manifest(run).files.keys()


def test_what_does_not_match_is_measured_anew_and_said(bound, finished, run):
    (run / "record.json").unlink()
    figure(run, 0.9)
    (run / "canaries.json").write_text("[]")
    record, path = run_in_process(bound, run.parents[2])
    assert path.parent == run
    assert record.provenance.resumed == 3
    assert list(record.provenance.measured_anew) == ["planted"]
    assert "cells/planted.json has changed" in record.provenance.measured_anew["planted"]
    assert record.canaries == finished[0].canaries
    assert record.cell("planted").measurements == finished[0].cell("planted").measurements
    assert doubts(run, record) == []
