"""Faults of what is measured inside the model, each in a real run without texts: their receipts speak and name them."""

import pytest

from harness.faults.catalogue import find_fault
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

SPEC = """
id: inside
title: What is measured inside the model, in miniature
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
cells:
  - {id: intact, title: Intact}
  - id: heads
    title: Heads
    region: {select: attention-heads, harmful: probing-harmful, harmless: probing-harmless, fraction: 0.06}
  - id: projection
    title: Projection
    region: {select: orthogonal-projection, safety: safety, utility: utility, of_directions: 128,
             utility_rank_removed: 110, safety_rank_removed: 127}
  - id: lora
    title: LoRA, frozen weights, checkpoints
    fine_tuning: {method: lora, lora: {r: 4}, dataset: utility, examples: 12, epochs: 1, learning_rate: 0.02,
                  batch_size: 4, checkpoint_every: 1,
                  frozen: {select: top, method: wanda, data: safety, fraction: 0.02}}
evaluations:
  - kind: overlap
    first: {select: top, method: wanda, data: safety, fraction: 0.05}
    second: {select: top, method: wanda, data: utility, fraction: 0.03}
    measures: [jaccard, overlap_share]
  - {kind: subspace_similarity, utility: utility, safety: safety, ranks: [10], of_directions: 128}
  - {kind: probing, harmful: probing-harmful, harmless: probing-harmless, prompts: 40}
  - {kind: rescored_overlap, compared: {top: {select: top, method: wanda, data: safety, fraction: 0.05}}}
  - kind: drift
    checkpoints: 3
    replicates: 20
    merge_dtype: MERGE
    groups:
      - {name: top, region: {select: top, method: wanda, data: safety, fraction: 0.05}}
      - {name: random, region: {select: top, method: random, fraction: 0.01, seed: 0}}
    compare: [{first: random, second: top}]
golden_values: none
"""
FAULTS = [
    "overlap_with_itself",
    "overlap_of_the_other",
    "regions_from_the_store",
    "unchanged_by_closeness",
    "drift_of_the_first_checkpoint",
    "drift_of_another_group",
    "drift_by_the_weight_after",
    "worst_heads",
    "probed_at_the_first_token",
    "probes_of_other_labels",
    "subspaces_of_the_other_end",
    "projection_the_other_way",
]


def bound(folder, organism, cells, merge="float32"):
    path = folder / "spec.yaml"
    path.write_text(SPEC.replace("MERGE", merge), encoding="utf-8")
    spec = load_yaml_model(path, BenchmarkSpec)
    kept = tuple(group for group in spec.cells if group.id in {"intact", *cells})
    tuned = "lora" in cells
    entries = tuple(
        each
        for each in spec.evaluations
        if (tuned or each.kind != "drift") and (cells or each.kind != "rescored_overlap")
    )
    variant = locations.find_variant(organism)
    own = load_yaml_model(variant, ModelVariant).model_copy(update={"fine_tuning": {}})
    return bind(spec.model_copy(update={"cells": kept, "evaluations": entries}), own, variant)


@pytest.mark.parametrize(("organism", "merge"), [("tiny-llama2-chat", "float32"), ("tiny-llama3-instruct", "bfloat16")])
def test_without_a_fault_every_figure_is_made_a_second_time(tmp_path, organism, merge):
    record, _ = run_in_process(bound(tmp_path, organism, ["heads", "projection", "lora"], merge), tmp_path / "runs")
    assert record.verdict.status == "passed"
    told = {cell.id: {f"{each.stage}/{each.name}" for each in cell.receipts} for cell in record.cells}
    everywhere = {"scorer/probes", "scorer/overlap-counts", "scorer/kept-bits", "scorer/scored-anew"}
    assert all(everywhere <= told[cell] for cell in ("intact", "heads", "projection", "lora"))
    assert "scorer/subspaces" in told["intact"]
    assert "mask/best-heads" in told["heads"]
    assert {"scorer/drift-figures", "weights/own-checkpoints"} <= told["lora"]
    assert not any("no receipt" in words for cell in record.cells for words in cell.unchecked)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_inside_the_model_is_caught_and_named(tmp_path, name):
    fault = find_fault(name)
    with fault.injected():
        record, _ = run_in_process(bound(tmp_path, "tiny-llama2-chat", fault.cells), tmp_path / "runs")
    assert (record.verdict.status, record.verdict.exit_code) == ("invalid", 3)
    spoke = [
        receipt
        for cell in record.cells
        for receipt in cell.receipts
        if not receipt.holds and f"{receipt.stage}/{receipt.name}" in fault.caught_by
    ]
    assert any(fault.says in receipt.words for receipt in spoke)
