"""What decides a cell's figures is in its key: files that a variant names, and files that these name."""

from dataclasses import replace

import pytest

from harness.calibration.files import file_sha256
from harness.errors import UserError
from harness.runs import computed_by
from harness.runs.binding import bind
from harness.runs.keys import Surroundings, cell_key, run_key
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelVariant

FROZEN_HEADS = """
id: frozen-heads
title: Heads frozen
source: {work: test}
cells:
  - {id: intact, title: Intact}
  - id: frozen
    title: Frozen
    fine_tuning: {method: full, dataset: utility, examples: 4, frozen: {select: attention-heads, fraction: 0.1,
                  harmful: probing-harmful, harmless: probing-harmless}}
evaluations:
  - {kind: zero_shot, limit: 5}
golden_values: none
"""
FACTS = """
task: facts
dataset_path: json
dataset_kwargs: {data_files: {test: facts.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: query
doc_to_choice: choices
doc_to_target: gold
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0}
"""
AROUND = Surroundings("model", "tokenizer", "machine")


def bound(tmp_path, text=FROZEN_HEADS, **changes):
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    place = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(place, ModelVariant).model_copy(update=changes)
    return bind(load_yaml_model(path, BenchmarkSpec), variant, place)


def key(found, cell):
    return cell_key(found, next(c for c in found.cells if c.id == cell), AROUND)


def test_the_requests_behind_frozen_heads_are_checked_and_decide_the_cell(tmp_path):
    found = bound(tmp_path)
    for name in ("probing-harmful", "probing-harmless"):
        assert found.data_sha256[name] == found.variant.datasets[name].sha256
        other = replace(found, data_sha256={**found.data_sha256, name: "0" * 64})
        assert key(other, "frozen") != key(found, "frozen")
        assert key(other, "intact") == key(found, "intact")
    with pytest.raises(UserError, match="no dataset 'probing-harmfull'; did you mean 'probing-harmful'"):
        bound(tmp_path, FROZEN_HEADS.replace("probing-harmful,", "probing-harmfull,"))


def test_a_dataset_without_hash_makes_no_key(tmp_path):
    found = bound(tmp_path)
    hashes = {name: sha for name, sha in found.data_sha256.items() if name != "probing-harmless"}
    with pytest.raises(KeyError, match="probing-harmless"):
        key(replace(found, data_sha256=hashes), "frozen")


def test_a_variant_without_planted_region_has_keys(tmp_path):
    assert key(bound(tmp_path, planted_region=None), "intact")


def test_the_items_of_a_zero_shot_task_decide_the_cell(tmp_path):
    """The YAML file stays the same, and so does its hash; one item in the file that it names changes."""
    task, items = tmp_path / "facts.yaml", tmp_path / "facts.jsonl"
    task.write_text(FACTS)
    declared = DatasetFile(path=str(task), sha256=file_sha256(task))
    datasets = {**bound(tmp_path).variant.datasets, "facts": declared}
    changes = {"zero_shot_tasks": ("facts",), "datasets": datasets}
    found = []
    for text in ('{"gold": 0}\n', '{"gold": 1}\n'):
        items.write_text(text)
        found.append(bound(tmp_path, **changes))
        assert found[-1].data_sha256["facts/test"] == file_sha256(items)
    assert key(found[0], "intact") != key(found[1], "intact")
    items.unlink()
    with pytest.raises(UserError, match=r"facts\.jsonl: no such file"):
        bound(tmp_path, **changes)


def test_what_is_judged_afterwards_decides_no_run_and_what_is_measured_does(tmp_path):
    claim = "claims: [{id: c, section: s, says: More, quantifier: all, cells: [intact], conditions: [{metric: %s}]}]"
    text = FROZEN_HEADS + claim % "accuracy_mean, at_least: 0.5" + "\n"
    others = {
        "claims": text.replace("at_least: 0.5", "at_least: 0.4"),
        "words": text.replace("Heads frozen", "Frozen heads").replace("More", "Less"),
        "items": text.replace("limit: 5", "limit: 6"),
    }
    keys = {name: run_key(bound(tmp_path, each), AROUND) for name, each in {"": text, **others}.items()}
    assert keys[""] == keys["claims"] == keys["words"] != keys["items"]


def test_the_code_decides_cells_and_not_which_run_is_taken_up(tmp_path, monkeypatch):
    found = bound(tmp_path)
    before = key(found, "frozen"), run_key(found, AROUND)
    monkeypatch.setattr(computed_by, "_code", lambda roots, named: {"source": "other", "packages": {}, "plugins": {}})
    after = key(found, "frozen"), run_key(found, AROUND)
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)
