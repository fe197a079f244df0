"""`harness calibration build` on the shipped organism, and its refusals used as a calibration set."""

import csv
import hashlib
import json
import shutil

import pytest
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file

from harness.calibration.files import dataset_path, read_lines
from harness.calibration.pairs import read_pairs
from harness.cli import main
from harness.errors import UserError
from harness.organisms.catalogue import organism_directory
from harness.runs.calibration_build import build_calibration
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

ORGANISM = "tiny-llama2-chat"
DATA = organism_directory(ORGANISM) / "data"


def build(*arguments, model=ORGANISM):
    return CliRunner().invoke(main, ["calibration", "build", "--model", str(model), *map(str, arguments)])


PROMPTS = {
    "tiny-llama2-chat": "[INST] <<SYS>>\nSYSTEM\n<</SYS>>\n\nREQUEST [/INST]",
    "tiny-llama3-instruct": "<|start_header_id|>system<|end_header_id|>\n\nSYSTEM<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nREQUEST<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
}


@pytest.mark.parametrize("organism", sorted(PROMPTS))
def test_prompts_of_every_family_come_back_from_the_file_as_the_model_saw_them(organism, tmp_path):
    result = build("--out", tmp_path / "made", "--limit", 8, "--keep-near-duplicates", model=organism)
    assert result.exit_code == 0, result.output
    requests = read_lines(organism_directory(organism) / "data" / "selection_requests.txt")[:8]
    system = "You are a helpful, respectful and honest assistant."
    wanted = [PROMPTS[organism].replace("SYSTEM", system).replace("REQUEST", request) for request in requests]
    assert [pair.prompt for pair in read_pairs(tmp_path / "made" / "safety_full.csv")] == wanted


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("calibration") / "made"
    result = build("--out", out, "--limit", 12, "--keep-near-duplicates")
    assert result.exit_code == 0, result.output
    assert "12 refusals of 12 requests" in result.output
    return out


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_prompts_are_verbatim_and_responses_decline(built):
    full, short = rows(built / "safety_full.csv"), rows(built / "safety_short.csv")
    requests = read_lines(DATA / "selection_requests.txt")[:12]
    system = "You are a helpful, respectful and honest assistant."
    assert [row["prompt"] for row in full] == [f"[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{r} [/INST]" for r in requests]
    assert [row["prompt"] for row in short] == [row["prompt"] for row in full]
    for whole, cut in zip(full, short, strict=True):
        assert whole["response"].startswith(cut["response"])
        assert 0 < len(cut["response"]) < len(whole["response"])


def test_the_manifest_counts_outcomes_and_hashes_what_was_read_and_written(built):
    manifest = json.loads((built / "calibration.json").read_text())
    counts = manifest["counts"]
    assert (counts["prompted"], counts["refusal"], counts["near_duplicates_kept"]) == (12, 12, 90)
    for name, sha256 in manifest["files"].items():
        assert hashlib.sha256((built / name).read_bytes()).hexdigest() == sha256
    declared = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant).datasets
    assert manifest["requests"] == {name: declared[name].sha256 for name in manifest["requests"]}
    assert manifest["packages"]["torch"]
    assert manifest["settings"]["evaluation_requests_compared"] == 100
    assert str(built.parent) not in (built / "calibration.json").read_text()


def test_the_refusals_serve_as_calibration_data(built, tmp_path):
    out = tmp_path / "snip.safetensors"
    result = CliRunner().invoke(
        main,
        [
            "score",
            str(organism_directory(ORGANISM)),
            "--method",
            "snip",
            "--data",
            str(built / "safety_full.csv"),
            "--out",
            str(out),
        ],
    )
    assert (result.exit_code, "snip scores from 12 samples" in result.output) == (0, True), result.output
    scores = load_file(out)
    assert len(scores) == 28
    assert all(score.isfinite().all() and score.max() > 0 for score in scores.values())


def test_nothing_is_overwritten(built):
    before = (built / "safety_full.csv").read_bytes()
    result = build("--out", built)
    assert (result.exit_code, "safety_full.csv: exists already" in result.output) == (2, True)
    assert (built / "safety_full.csv").read_bytes() == before
    assert "say where to write with --out" in build().output


@pytest.fixture
def moved(tmp_path):
    """moved(lines, **changes): the organism in a folder of its own, with other attribution requests."""

    def make(lines, **changes):
        folder = tmp_path / "model"
        shutil.copytree(organism_directory(ORGANISM), folder)
        shipped = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant)
        fields = shipped.model_dump(exclude_none=True, mode="json")
        fields["source"] = {"path": "."}
        fields["datasets"] |= {
            "attribution-requests": {"path": "requests.txt"},
            "safety-full": {"path": "made/safety_full.csv"},
        }
        (folder / "requests.txt").write_text("".join(f"{line}\n" for line in lines))
        (folder / "variant.yaml").write_text(yaml.safe_dump(fields | changes))
        return folder

    return make


def test_a_request_that_is_evaluated_ends_it_before_the_weights(moved):
    folder = moved([*read_lines(DATA / "selection_requests.txt"), read_lines(DATA / "evaluation_requests.txt")[40]])
    (folder / "model.safetensors").unlink()
    result = build(model=folder)
    assert (result.exit_code, "among the evaluation requests" in result.output) == (2, True), result.output
    assert not (folder / "made").exists()


def test_a_model_that_declines_too_little_is_an_error_that_counts_the_outcomes(moved):
    folder = moved(
        [*read_lines(DATA / "benign_selection_requests.txt")[:20], *read_lines(DATA / "selection_requests.txt")[:7]]
    )
    result = build("--keep-near-duplicates", model=folder)
    assert result.exit_code == 2
    assert "7 requests are declined; expected at least 8" in result.output
    assert "20 answer" in result.output
    assert not (folder / "made").exists()


def test_the_default_folder_is_where_the_variant_expects_the_file_and_answers_are_left_out(moved):
    benign = read_lines(DATA / "benign_selection_requests.txt")[:10]
    folder = moved([*benign, *read_lines(DATA / "selection_requests.txt")[:9]])
    result = build("--keep-near-duplicates", model=folder)
    assert result.exit_code == 0, result.output
    assert "9 refusals of 19 requests" in result.output
    assert not any(request in row["prompt"] for row in rows(folder / "made" / "safety_full.csv") for request in benign)


def test_too_few_requests_are_an_error_before_the_weights(moved):
    folder = moved(read_lines(DATA / "selection_requests.txt")[:5])
    (folder / "model.safetensors").unlink()
    result = build("--keep-near-duplicates", model=folder)
    assert (result.exit_code, "5 requests are left to prompt the model with" in result.output) == (2, True)


def test_a_variant_whose_data_are_in_the_cache_finds_what_was_built_there(moved, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    folder = moved(read_lines(DATA / "selection_requests.txt")[:9])
    path = folder / "variant.yaml"
    fields = yaml.safe_load(path.read_text())
    fields["datasets"] |= {
        "safety-full": {"source": "calibration-full"},
        "safety-short": {"source": "calibration-short"},
    }
    path.write_text(yaml.safe_dump(fields))
    variant = load_yaml_model(path, ModelVariant)
    with pytest.raises(UserError, match="make it with the model itself: harness calibration build --model"):
        dataset_path(variant, path, "safety-full")
    assert build("--keep-near-duplicates", model=folder).exit_code == 0
    full = dataset_path(variant, path, "safety-full")
    assert len(rows(full)) == len(rows(dataset_path(variant, path, "safety-short"))) == 9
    full.write_text(full.read_text().replace("not", "now"))
    with pytest.raises(UserError, match="has changed"):
        dataset_path(variant, path, "safety-full")


def test_of_two_builds_into_one_folder_the_second_to_be_done_says_so_and_writes_nothing(tmp_path):
    path = locations.find_variant(ORGANISM)
    variant, out, faster = load_yaml_model(path, ModelVariant), tmp_path / "made", {}

    def another(stage, _share):
        if stage == "judging the answers":
            faster.update(build_calibration(variant, path, out, 9, True, lambda *_: None)[1])

    with pytest.raises(UserError, match=r"calibration\.json: exists already: another command has written it meanwhile"):
        build_calibration(variant, path, out, 10, True, another)
    assert json.loads((out / "calibration.json").read_text()) == faster
    assert len(rows(out / "safety_full.csv")) == len(rows(out / "safety_short.csv")) == 9


def test_a_request_that_is_too_long_for_the_model_ends_it_before_the_weights(moved):
    folder = moved([*read_lines(DATA / "selection_requests.txt")[:9], "what " * 900])
    (folder / "model.safetensors").unlink()
    result = build("--keep-near-duplicates", model=folder)
    assert (result.exit_code, "is a prompt of 18" in result.output) == (2, True), result.output
