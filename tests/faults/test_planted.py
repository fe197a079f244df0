"""Precision and recall against the planted region, in cells that remove another one."""

from dataclasses import replace

import pytest

from harness.faults.seam import replaced
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: compared
title: Against the planted region
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
  - {id: top, title: Top, region: {select: top, method: wanda, data: safety, fraction: 0.03}}
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}
golden_values: none
"""


def said(organism, tmp_path):
    record, _ = run_in_process(bound_on(organism, tmp_path, SPEC), tmp_path / "runs")
    return record.verdict.status, " ".join(record.verdict.reasons)


def test_without_a_fault_it_passes(organism, tmp_path):
    assert said(organism, tmp_path) == ("passed", "")


def half_of_it(right):
    return lambda path: dict(list(right(path).items())[::2])


def of_the_next_block(right):
    def named(name):
        block = int(name.split(".layers.")[1].split(".")[0])
        return name.replace(f".layers.{block}.", f".layers.{(block + 1) % 4}.")

    return lambda path: {named(name): mask for name, mask in right(path).items()}


def turned_round(right):
    return lambda path: {name: mask.flip(1) for name, mask in right(path).items()}


def one_too_many(right):
    """Every layer has one weight more in common."""

    def by_layer(first, second):
        return {name: replace(counts, both=counts.both + 1) for name, counts in right(first, second).items()}

    return by_layer


def compared_with_nothing(right):
    return lambda model, masks, planted: right(model, masks, None)


@pytest.mark.parametrize(
    ("target", "wrong", "words"),
    [
        ("runs.bench:read_masks", half_of_it, "mask/truth"),
        ("runs.bench:read_masks", of_the_next_block, "mask/truth"),
        ("runs.bench:read_masks", turned_round, "mask/truth"),
        ("models.editing:overlap_by_layer", one_too_many, "mask/truth"),
        ("models.editing:_facts_of_masks", compared_with_nothing, "nothing compared in all layers"),
    ],
    ids=["half", "next block", "turned", "both", "nothing"],
)
def test_a_comparison_with_another_region_is_caught_and_named(tmp_path, target, wrong, words):
    with replaced(f"harness.{target}", wrong):
        status, reasons = said("tiny-llama2-chat", tmp_path)
    assert status == "invalid"
    assert words in reasons
