"""Faults of weights, engine, logits, texts and scorer, each in a real run: the receipt that is there for it speaks."""

import pytest

from harness.errors import InvalidRun
from harness.faults.base import Trial
from harness.faults.catalogue import find_fault
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

SPEC = """
id: later-stages
title: Faults of the later stages in miniature
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 16}
  utility: {dataset: utility, samples: 16}
cells:
  - {id: intact, title: Intact}
  - {id: planted, title: Planted, region: {select: planted}}
  - id: snip-set-difference
    title: Set difference
    region: {select: set-difference, method: snip, safety: safety, utility: utility, p: 0.05, q: 0.05}
  - id: wanda-top
    title: Top
    region: {select: top, method: wanda, data: safety, fraction: 0.05}
    invalid_is_expected: meant to destroy the model
  - id: ranks
    title: Ranks
    region: {select: act-svd, data: safety, rank: 3}
    invalid_is_expected: meant to destroy the model
  - id: lora
    title: LoRA
    fine_tuning: {method: lora, lora: {r: 4}, dataset: utility, examples: 8, epochs: 1, learning_rate: 0.01,
                  batch_size: 4, checkpoint_every: 1}
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 6, system_prompt: true, chat_template: true}
  - {kind: attack, name: adv_decoding, dataset: evaluation-requests, prompts: 3, system_prompt: false,
     chat_template: false, samples: 5, temperature: 1.0}
  - {kind: attack, name: benign, dataset: benign-requests, prompts: 6, system_prompt: true, chat_template: true,
     benign: true}
  - {kind: zero_shot, limit: 4}
  - {kind: perplexity, dataset: perplexity, window_tokens: 48, windows: 3}
validity: {calibration_prompts: 6}
golden_values: none
"""
FAULTS = [
    "engine_holds_previous_weights",
    "stale_prefix_cache",
    "shared_scratch_path",
    "missing_stop_token",
    "wrong_stop_token",
    "float16_overflow",
    "mean_instead_of_any",
    "short_refusal_list",
    "no_word_rule",
    "other_zero_shot_limit",
    "other_perplexity_window",
]
ORGANISMS = ["tiny-llama2-chat", "tiny-llama3-instruct"]


def bound(folder, organism, cells=None):
    path = folder / "spec.yaml"
    path.write_text(SPEC, encoding="utf-8")
    spec = load_yaml_model(path, BenchmarkSpec)
    if cells is not None:
        kept = tuple(group for group in spec.cells if group.id in {"intact", *cells})
        spec = spec.model_copy(update={"cells": kept})
    variant = locations.find_variant(organism)
    return bind(spec, load_yaml_model(variant, ModelVariant), variant)


def broken(record):
    return {f"{each.stage}/{each.name}" for cell in record.cells for each in cell.receipts if not each.holds}


@pytest.mark.parametrize("organism", ORGANISMS)
def test_without_a_fault_every_receipt_holds(tmp_path, organism):
    record, _ = run_in_process(bound(tmp_path, organism), tmp_path / "runs")
    assert broken(record) == set()
    names = {cell.id: {f"{each.stage}/{each.name}" for each in cell.receipts} for cell in record.cells}
    always = {
        "weights/intact-before",
        "engine/weights",
        "logits/plain-forward",
        "logits/finite",
        "text/stop-tokens",
        "text/lengths",
        "text/decoded",
        "text/against-intact",
        "scorer/published-scorer",
        "scorer/aggregation",
        "scorer/zero-shot-items",
        "scorer/perplexity-windows",
    }
    assert all(always <= found for found in names.values())
    assert all("engine/prefix-cache" in found for cell, found in names.items() if cell != "intact")
    assert {cell for cell, found in names.items() if "weights/own-scratch" in found} == {
        "snip-set-difference",
        "wanda-top",
        "ranks",
    }
    assert "weights/own-checkpoints" in names["lora"]


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("organism", ORGANISMS)
def test_a_fault_is_caught_by_the_receipt_that_is_there_for_it(tmp_path, organism, name):
    fault = find_fault(name)
    with fault.injected():
        try:
            record, _ = run_in_process(bound(tmp_path, organism, fault.cells), tmp_path / "runs")
        except InvalidRun as refused:
            assert refused.by in fault.caught_by
            assert refused.exit_code == 3
            return
    assert broken(record) & set(fault.caught_by)
    assert (record.verdict.status, record.verdict.exit_code) == ("invalid", 3)
    assert any(by in reason for by in fault.caught_by for reason in record.verdict.reasons)
    hit = [cell for cell in record.cells if not all(each.holds for each in cell.receipts)]
    assert all(not measured.valid and measured.reason for cell in hit for measured in cell.measurements)


def test_a_checkpoint_saved_outside_its_edit_is_refused(tmp_path):
    fault = find_fault("saved_unpruned")
    trial = Trial(locations.find_variant("tiny-llama2-chat"), tmp_path, lambda: pytest.fail("it runs no benchmark"))
    assert fault.run(trial).verdict == "passed"
    assert (tmp_path / "edited" / "receipt.json").is_file()
    again = tmp_path / "again"
    again.mkdir()
    with fault.injected():
        outcome = fault.run(Trial(trial.variant, again, trial.benchmark))
    assert outcome.verdict == "refused"
    assert [alarm.by for alarm in outcome.alarms] == list(fault.caught_by)
    assert not (again / "edited").exists()
