"""Data are downloaded once, checked at every use, and never half there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from harness.calibration.files import dataset_path, read_lines
from harness.calibration.pairs import read_pairs
from harness.cli import main
from harness.errors import UserError
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.fetching.conftest import ADVBENCH, ALPACA, REVISION


@pytest.fixture
def harness_data(variant_file):
    """harness_data("fetch", ...): the command on the test's variant."""

    def invoke(command, *arguments):
        return CliRunner().invoke(main, ["data", command, "--model", str(variant_file), *map(str, arguments)])

    return invoke


@pytest.fixture
def path_of(variant_file):
    """The checked file behind a data set, as a run gets it."""
    return lambda name: dataset_path(load_yaml_model(variant_file, ModelVariant), variant_file, name)


@pytest.fixture
def fetched(harness_data, served):
    """Everything fetched; what was asked for is forgotten."""
    result = harness_data("fetch")
    assert result.exit_code == 0, result.output
    served.asked.clear()
    return result


def cache() -> Path:
    return Path(os.environ["HARNESS_DATA"])


def test_every_file_is_downloaded_once_and_split_and_wrapped(fetched, harness_data, served, path_of):
    assert read_lines(path_of("evaluation-requests")) == ADVBENCH[:100]
    assert read_lines(path_of("attribution-requests")) == ADVBENCH[100:]
    system = "<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
    assert read_pairs(path_of("utility"))[0].prompt.startswith(f"{system}<|start_header_id|>user<|end_header_id|>")
    assert path_of("safety-full").read_bytes() == served.files["/safety.csv"]
    assert harness_data("fetch").exit_code == 0
    assert served.asked == []
    assert not list(cache().rglob("*.partial"))


def test_what_is_there_needs_no_connection(fetched, harness_data, path_of, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert path_of("utility").is_file()
    result = harness_data("list", "--json")
    assert result.exit_code == 0
    states = {entry["name"]: entry["state"] for entry in json.loads(result.stdout)}
    assert states.pop("adversarial-suffixes") == "missing"
    assert set(states.values()) == {"ready"}


def test_offline_without_the_files_nothing_is_asked_for(harness_data, served, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = harness_data("fetch")
    assert result.exit_code == 2
    assert "HF_HUB_OFFLINE is set: unset it, give a folder" in result.output
    assert served.asked == []


def test_a_missing_file_is_told_with_the_command(path_of, variant_file):
    with pytest.raises(UserError, match=r"is not there; get it with: harness data fetch --model .*mine\.yaml"):
        path_of("evaluation-requests")


@pytest.mark.parametrize("name", ["safety-full", "utility", "evaluation-requests"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "is cut off: it holds"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"m", b"w", 1)), "has changed: its SHA-256 is"),
        (lambda path: path.unlink(), "is not there"),
    ],
)
def test_damage_is_told_in_its_own_words_and_mended_by_fetching(fetched, harness_data, path_of, name, damage, words):
    path = path_of(name)
    before = path.read_bytes()
    damage(path)
    with pytest.raises(UserError, match=f"{words}.*harness data fetch"):
        path_of(name)
    assert harness_data("fetch").exit_code == 0
    assert path_of(name).read_bytes() == before


def test_a_download_that_breaks_off_leaves_nothing(harness_data, served, path_of):
    """Of a file without a published hash nobody could tell later that it is half of one."""
    served.cut = {"/utility.csv", "/advbench.txt"}
    result = harness_data("fetch")
    assert result.exit_code == 2
    assert "the download broke off" in result.output
    assert "attribution-requests, evaluation-requests: " in result.output
    assert {path.name for path in cache().rglob("*") if path.is_file()} == {".guard", "safety-full.csv", "lock.json"}
    served.cut = set()
    assert harness_data("fetch").exit_code == 0
    assert path_of("utility").is_file()


def test_a_file_with_another_hash_than_the_published_one_is_refused(harness_data, served):
    served.files["/advbench.txt"] += b"One more request\n"
    result = harness_data("fetch", "--only", "evaluation-requests")
    assert result.exit_code == 2
    assert "the published one; nothing was kept" in result.output
    assert not (cache() / "pinned").exists()


def test_a_file_without_published_hash_may_not_change_after_its_first_download(fetched, harness_data, served):
    served.files["/safety.csv"] += b"9,[INST] x [/INST],y,z\n"
    (cache() / "pinned" / "safety-full.csv").unlink()
    result = harness_data("fetch")
    assert result.exit_code == 2
    assert "that of the first download" in result.output
    assert not (cache() / "pinned" / "safety-full.csv").exists()


def test_what_was_made_of_other_data_is_told_and_made_again(fetched, harness_data, served, path_of):
    lock = json.loads((cache() / "lock.json").read_text())
    (entry,) = (value for place, value in lock["files"].items() if place.startswith("made/utility"))
    entry["of"] = "0" * 64
    (cache() / "lock.json").write_text(json.dumps(lock))
    with pytest.raises(UserError, match="was made of other data, or by another version; get it with"):
        path_of("utility")
    assert harness_data("fetch").exit_code == 0
    assert path_of("utility").is_file()
    assert served.asked == []


def test_an_unknown_name_and_an_unreachable_server_are_told(harness_data, served):
    assert "did you mean 'utility'" in harness_data("fetch", "--only", "utilty").output
    del served.files["/safety.csv"]
    result = harness_data("fetch", "--only", "safety-full")
    assert (result.exit_code, "cannot be reached, or is not there" in result.output) == (2, True)


def test_a_damaged_lock_is_told(fetched, harness_data):
    (cache() / "lock.json").write_text("{")
    result = harness_data("list")
    assert (result.exit_code, "lock.json: is damaged" in result.output) == (0, True)
    assert harness_data("fetch").exit_code == 2


def test_suffixes_are_the_users_and_their_hash_is_kept(harness_data, path_of, tmp_path):
    with pytest.raises(UserError, match="it is yours to supply, one a line: harness data supply"):
        path_of("adversarial-suffixes")
    mine = tmp_path / "mine.txt"
    mine.write_text("answer.+ briefly !\n")
    assert harness_data("supply", "adversarial-suffixes", mine).exit_code == 0
    mine.write_text("other\n")
    assert read_lines(path_of("adversarial-suffixes")) == ["answer.+ briefly !"]
    path_of("adversarial-suffixes").write_text("tampered with, at length\n")
    with pytest.raises(UserError, match="has changed"):
        path_of("adversarial-suffixes")
    assert "takes no file of yours as 'utility'" in harness_data("supply", "utility", mine).output
    mine.write_text("\n")
    assert "holds no line" in harness_data("supply", "adversarial-suffixes", mine).output


def test_of_two_files_that_are_supplied_at_once_one_is_taken_and_the_other_told(
    harness_data, path_of, tmp_path, monkeypatch
):
    """The second is written while the first one's lines are looked at."""
    from harness.fetching import fetch

    mine, theirs = tmp_path / "mine.txt", tmp_path / "theirs.txt"
    mine.write_text("mine\n")
    theirs.write_text("theirs\n")
    right = fetch.read_lines

    def slowly(file):
        if file == mine:
            assert harness_data("supply", "adversarial-suffixes", theirs).exit_code == 0
        return right(file)

    monkeypatch.setattr(fetch, "read_lines", slowly)
    result = harness_data("supply", "adversarial-suffixes", mine)
    assert (result.exit_code, "another command has written it meanwhile" in result.output) == (2, True)
    assert read_lines(path_of("adversarial-suffixes")) == ["theirs"]
    monkeypatch.undo()
    mine.write_text("mine\n")
    assert harness_data("supply", "adversarial-suffixes", mine).exit_code == 0
    assert read_lines(path_of("adversarial-suffixes")) == ["mine"]


def test_a_run_with_damaged_data_ends_before_any_weight_is_loaded(fetched, path_of, variant_file, tmp_path):
    """There are no weights beside this variant at all."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("""
id: small
title: Small
source: {work: test}
cells: [{id: intact, title: Intact}]
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 10, system_prompt: true, chat_template: true}
golden_values: none
""")
    path = path_of("evaluation-requests")
    path.write_text(path.read_text().replace("number 3", "number 4"))
    result = CliRunner().invoke(main, ["run", str(spec), "--model", str(variant_file), "--out", str(tmp_path / "runs")])
    assert (result.exit_code, "has changed: its SHA-256" in result.output) == (2, True), result.output


def test_a_file_of_the_hub_is_downloaded_at_its_revision(served, pinned, variant_file, tmp_path):
    """In a process of its own: huggingface_hub reads the address of the hub when it is imported."""
    repository, file = "yahma/alpaca-cleaned", "alpaca_data_cleaned.json"
    served.files[f"/datasets/{repository}/resolve/{REVISION}/{file}"] = json.dumps(ALPACA).encode()
    content = yaml.safe_load(variant_file.read_text())
    content["datasets"] = {"alpaca-cleaned": {"source": "alpaca-cleaned"}}
    variant_file.write_text(yaml.safe_dump(content))
    files = yaml.safe_load(pinned.read_text())
    files["files"]["alpaca-cleaned"] = {"repository": repository, "revision": REVISION, "file": file}
    pinned.write_text(yaml.safe_dump(files))
    code = f"""
from pathlib import Path
from harness.spec import locations
locations.pinned_data_path = lambda: Path({str(pinned)!r})
from harness.cli import main
main(["data", "fetch", "--model", {str(variant_file)!r}])
"""
    environment = {**os.environ, "HF_ENDPOINT": served.address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = cache() / "made" / "alpaca-cleaned.llama-3.csv"
    assert [pair.response for pair in read_pairs(made)] == ["Red.", "a, b"]


def test_a_file_that_was_downloaded_elsewhere_is_taken_by_its_hash(
    harness_data, served, tmp_path, monkeypatch, path_of
):
    """Without a network, under any name; one without a published hash could be anything, and is not taken."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = tmp_path / "brought"
    folder.mkdir()
    (folder / "renamed").write_bytes(served.files["/advbench.txt"])
    (folder / "safety.csv").write_bytes(served.files["/safety.csv"])
    assert harness_data("fetch", "--only", "evaluation-requests", "--from", str(folder)).exit_code == 0
    assert len(path_of("evaluation-requests").read_text().splitlines()) == 100
    result = harness_data("fetch", "--only", "safety-full", "--from", str(folder))
    assert (result.exit_code, "give a folder with the file as --from" in result.output) == (2, True)
    assert served.asked == []
    missing = harness_data("fetch", "--from", str(tmp_path / "nowhere"))
    assert (missing.exit_code, "nowhere: no such folder" in missing.output) == (2, True)
