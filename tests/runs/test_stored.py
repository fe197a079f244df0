"""`harness store`: what lies in an output folder, whether it is still read, and clearing it."""

import json
import os
import shutil
import time
from importlib import metadata

import pytest
import torch
from click.testing import CliRunner

from harness.cli import main
from harness.runs import computed_by, provenance
from harness.runs.store import TensorStore
from harness.storage import locked
from tests.runs.conftest import run_in_process

DAY = 24 * 3600


@pytest.fixture
def out(finished, tmp_path):
    """A copy of the output folder of a finished run."""
    return shutil.copytree(finished[2], tmp_path / "runs")


@pytest.fixture
def another_torch(monkeypatch):
    """Another version of torch was installed after what is stored was computed."""
    real = metadata.version
    monkeypatch.setattr(computed_by.metadata, "version", lambda name: "0.0.1" if name == "torch" else real(name))
    computed_by._code.cache_clear()
    yield
    monkeypatch.undo()
    computed_by._code.cache_clear()


def store(*arguments):
    return CliRunner().invoke(main, ["store", *map(str, arguments)], env={"COLUMNS": "200"})


def listed(*arguments):
    result = store(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def scores_in(out):
    return sorted((out / "store").glob("*.safetensors"))


def unfinished(out):
    """The folder of the run, as if it had not ended."""
    (record,) = out.rglob("record.json")
    record.unlink()
    return record.parent


def grow_old(path, days):
    then = time.time() - days * DAY
    for each in [path, *path.rglob("*")]:
        os.utime(each, (then, then))


def test_stored_scores_say_what_they_are_for(out):
    found = listed(out)
    assert len(found) == len(scores_in(out)) == 2
    assert {(each["kind"], each["variant"], each["what"]) for each in found} == {
        ("scores", "tiny-llama2-chat", "wanda scores")
    }
    assert {each["data"] for each in found} == {
        "32 samples of safety (safety-full)",
        "32 samples of utility (utility)",
    }
    assert [each["state"] for each in found] == ["current", "current"]
    assert {each["path"]: each["size_bytes"] for each in found} == {
        str(path): path.stat().st_size for path in scores_in(out)
    }
    assert "in all 2 entries, 6.4 MB" in store(out).output


def test_what_is_current_is_read_by_the_next_run_and_counts_as_used(out, bound):
    for path in scores_in(out):
        grow_old(path, 40)
    assert len(listed(out, "--older-than", "30d")) == 2
    before = {path: path.read_bytes() for path in scores_in(out)}
    run_in_process(bound, out)
    assert {path: path.read_bytes() for path in scores_in(out)} == before
    assert listed(out, "--older-than", "30d") == []


def test_another_version_makes_stale_what_it_computed_and_prune_removes_it(out, another_torch):
    unfinished(out)
    found = listed(out)
    assert [each["state"] for each in found] == ["stale"] * 3
    assert all(each["why"].startswith("torch ") and each["why"].endswith(", now 0.0.1") for each in found)
    said = store(out, "--prune").output
    assert "removed wanda scores for tiny-llama2-chat on 32 samples of utility (utility) (3.2 MB): torch" in said
    assert "removed 3 entries, " in said and "kept 0 entries" in said
    assert listed(out) == []
    assert not list(out.rglob("private-completions"))


def test_prune_keeps_what_is_current_and_finished_runs(out):
    files = {path for path in out.rglob("*") if path.is_file()}
    said = store(out, "--prune").output
    assert "removed 0 entries, 0.0 kB; kept 2 entries, 6.4 MB" in said
    assert {path for path in files if path.exists()} == files


def test_a_file_that_goes_while_it_is_looked_at_is_left_out(out):
    folder = unfinished(out)
    before = listed(out)
    for place in (out / "store" / "gone.safetensors", folder / "gone.jsonl"):
        place.symlink_to(out / "nowhere")
    assert listed(out) == before


def test_a_damaged_file_is_stale(out):
    first, second = scores_in(out)
    first.write_bytes(b"damaged")
    TensorStore(out / "store").get({"kind": "of an earlier version"}, lambda: {"a": torch.zeros(1)})
    found = {each["path"]: (each["state"], each["why"]) for each in listed(out)}
    assert found.pop(str(second)) == ("current", None)
    assert found.pop(str(first)) == ("stale", "it is damaged")
    assert list(found.values()) == [("stale", "an earlier version of the harness made it")]
    store(out, "--prune")
    assert scores_in(out) == [second]


def test_what_another_machine_made_is_left_alone_unless_it_is_old(out, monkeypatch):
    monkeypatch.setattr(provenance, "_processor", lambda: "another processor")
    assert {(each["state"], each["why"]) for each in listed(out)} == {("elsewhere", "made with another processor")}
    assert "removed 0 entries" in store(out, "--prune").output
    first, second = scores_in(out)
    grow_old(first, 40)
    assert "removed 1 entry, " in store(out, "--prune", "--older-than", "30d").output
    assert scores_in(out) == [second]


def test_an_unfinished_run_is_told_by_its_benchmark_and_finished_cells(out):
    folder = unfinished(out)
    (run,) = (each for each in listed(out) if each["kind"] == "unfinished run")
    assert (run["variant"], run["what"], run["state"]) == (
        "tiny-llama2-chat",
        "unfinished run of small, 4 finished cells",
        "current",
    )
    assert run["path"] == str(folder)


def test_a_run_that_a_process_is_at_work_on_is_never_removed(out, another_torch):
    folder = unfinished(out)
    (out / "unfinished-0123.json").write_text(json.dumps({"tiny-llama2-chat/small": "/".join(folder.parts[-3:])}))
    grow_old(out, 40)
    with locked(folder / "lock"):
        (run,) = (each for each in listed(out) if each["kind"] == "unfinished run")
        assert (run["state"], run["why"]) == ("in use", "a process is at work on it")
        assert listed(out, "--prune", "--older-than", "1d") and folder.is_dir()
        assert (out / "unfinished-0123.json").exists()
    assert [each["removed"] for each in listed(out, "--prune")] == [True]
    assert not folder.exists() and not (out / "unfinished-0123.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/nowhere"], "/nowhere: no such folder; expected the --out of harness run"),
        (["--older-than", "1 month"], "expected a number and h, d or w, such as 12h, 30d or 2w"),
    ],
)
def test_bad_input_names_what_is_expected(arguments, words):
    result = store(*arguments)
    assert result.exit_code == 2
    assert words in result.output
