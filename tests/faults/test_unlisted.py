"""Faults that are not on the issue's list, each in a real run: the receipt that is there for it names it."""

import pytest

from harness.faults.catalogue import find_fault
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: unlisted
title: Faults that are not on the list
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
  - id: wanda-top
    title: Top
    region: {select: top, method: wanda, data: safety, fraction: 0.05}
    invalid_is_expected: the most important weights are gone
  - id: act-svd-top
    title: Ranks
    region: {select: act-svd, data: safety, rank: 3}
    invalid_is_expected: the most important ranks are gone
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 4, system_prompt: true, chat_template: true}
  - {kind: attack, name: adv_decoding, dataset: evaluation-requests, prompts: 4, system_prompt: false,
     chat_template: false, samples: 3, temperature: 1.0}
  - {kind: zero_shot, limit: 6}
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 3}
validity: {minimum_fit_share: 0.5, calibration_prompts: 4}
golden_values: none
"""
#: Each fault, the cell in which it is to be seen, and words that tell it from the others.
FAULTS = {
    "ranks_of_the_other_end": ("act-svd-top", "the least important ones"),
    "texts_of_other_prompts": ("intact", "tokens that are not the likeliest"),
    "samples_are_greedy": ("intact", "copies of each other"),
    "block_not_scored": ("wanda-top", "first block 1 of 4, model.layers.0."),
    "requests_of_another_dataset": ("intact", "'evaluation-requests' is the file of"),
    "judged_by_another_model": ("wanda-top", "nats a token"),
    "answers_by_length": ("intact", "where the engine's likelihoods give"),
}


def broken(record, cell):
    return {f"{each.stage}/{each.name}": each.words for each in record.cell(cell).receipts if not each.holds}


def test_without_a_fault_all_of_them_hold(organism, tmp_path):
    record, _ = run_in_process(bound_on(organism, tmp_path, SPEC), tmp_path)
    assert record.verdict.status == "passed", record.verdict.reasons
    names = {cell.id: {f"{each.stage}/{each.name}" for each in cell.receipts} for cell in record.cells}
    always = {
        "data/declared-files",
        "text/own-prompt",
        "text/likelihoods",
        "text/as-generated",
        "scorer/zero-shot-accuracy",
        "scorer/perplexity-figure",
    }
    assert all(always <= found for found in names.values())
    assert "scores/every-block" in names["wanda-top"]
    assert "mask/ranks" in names["act-svd-top"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_makes_the_run_invalid_and_is_named(name, tmp_path):
    fault, (cell, words) = find_fault(name), FAULTS[name]
    with fault.injected():
        record, _ = run_in_process(bound_on("tiny-llama2-chat", tmp_path, SPEC, (cell,)), tmp_path)
    assert (record.verdict.status, record.verdict.exit_code) == ("invalid", 3)
    right = {by: text for by, text in broken(record, cell).items() if by in fault.caught_by}
    assert any(words in text for text in right.values()), broken(record, cell)
    assert not any(measured.valid for measured in record.cell(cell).measurements)
