"""What is stored under a name that leaves out what decides it, and so is taken for something else."""

import json

import pytest

from harness.faults.seam import replaced
from harness.runs import computed_by
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: stored
title: What is measured once
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
attribution: {loss_reduction: mean, activation_positions: response}
cells:
  - {id: intact, title: Intact}
  - {id: heads, title: Heads, region: {select: attention-heads, harmful: probing-harmful, harmless: probing-harmless,
                                       prompts: 40, fraction: 0.15}, grid: {seed: [0, 5]}}
  - {id: snip, title: SNIP, region: {select: top, method: snip, data: safety, fraction: 0.02}}
  - {id: wanda, title: Wanda, region: {select: top, method: wanda, data: safety, fraction: 0.02}}
  - {id: random, title: Random, region: {select: top, method: random, fraction: 0.02}, grid: {seed: [0, 5]}}
  - {id: ranks, title: Ranks, region: {select: act-svd, data: safety, rank: 1}}
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}
golden_values: none
"""


def without(key):
    def wrong(right):
        def place(self, asked):
            return right(self, {name: part for name, part in asked.items() if name != key})

        return place

    return wrong


def said(tmp_path, group, spec=SPEC):
    """The verdict on one group of cells, and its reasons; all runs of a test have one store."""
    record, _ = run_in_process(bound_on("tiny-llama2-chat", tmp_path, spec, {group}), tmp_path / "runs")
    return record.verdict.status, " ".join(record.verdict.reasons)


OTHERWISE = {
    "loss_reduction": SPEC.replace("loss_reduction: mean", "loss_reduction: sum"),
    "activation_positions": SPEC.replace("activation_positions: response", "activation_positions: predicting"),
    "samples": SPEC.replace("samples: 8", "samples: 9"),
    "prompts": SPEC.replace("prompts: 40", "prompts: 44"),
}


@pytest.mark.parametrize("group", ["heads", "snip", "wanda", "random", "ranks"])
def test_without_a_fault_they_pass(tmp_path, group):
    assert said(tmp_path, group) == ("passed", "")


@pytest.mark.parametrize("group", ["heads", "random"])
def test_a_seed_that_is_left_out_is_caught_and_named(tmp_path, group):
    with replaced("harness.runs.store:TensorStore._place", without("seed")):
        status, reasons = said(tmp_path, group)
    assert status == "invalid"
    assert f"{group}_seed5: weights/own-scratch" in reasons
    assert "seed 0" in reasons


@pytest.mark.parametrize(
    ("group", "key"),
    [
        ("snip", "loss_reduction"),
        ("snip", "samples"),
        ("wanda", "activation_positions"),
        ("wanda", "samples"),
        ("ranks", "activation_positions"),
        ("ranks", "samples"),
        ("heads", "prompts"),
    ],
)
def test_settings_that_are_left_out_are_caught_and_named(tmp_path, group, key):
    with replaced("harness.runs.store:TensorStore._place", without(key)):
        said(tmp_path, group)
        status, reasons = said(tmp_path, group, OTHERWISE[key])
    assert status == "invalid"
    assert "weights/own-scratch" in reasons


@pytest.mark.parametrize("group", ["snip", "ranks", "heads"])
def test_what_other_code_made_is_caught_and_named(tmp_path, group, monkeypatch):
    code = computed_by._code
    with replaced("harness.runs.store:TensorStore._place", without("code")):
        said(tmp_path, group)
        monkeypatch.setattr(computed_by, "_code", lambda roots, named: {**code(roots, named), "source": "another"})
        status, reasons = said(tmp_path, group)
    assert status == "invalid"
    assert "weights/own-scratch" in reasons


def test_a_probe_whose_origin_is_lost_is_caught_and_named(tmp_path):
    def forgetful(right):
        def get(self, key, compute, words=None):
            return right(self, key, compute, {**(words or {}), "origin": json.dumps(None)})

        return get

    with replaced("harness.runs.store:TensorStore.get", forgetful):
        status, reasons = said(tmp_path, "heads")
    assert status == "invalid"
    assert "weights/own-scratch" in reasons
