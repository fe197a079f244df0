"""A small benchmark into which faults are put, and what the harness says of it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from harness.runs.binding import BoundBenchmark, bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

SMALL = """
id: faulty
title: A benchmark for faults in data, prompts, scores and masks
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 16}
  utility: {dataset: utility, samples: 16}
cells:
  - {id: intact, title: Intact}
  - id: snip-set-difference
    title: Set difference
    region: {select: set-difference, method: snip, safety: safety, utility: utility, p: 0.03, q: 0.03}
    invalid_is_expected: answers are cut short here
  - id: wanda-top
    title: Top
    region: {select: top, method: wanda, data: safety, fraction: 0.05}
    invalid_is_expected: the most important weights are gone
  - id: block-by-block
    title: Block by block
    region: {select: top, method: wanda, data: safety, fraction: 0.01, schedule: block_by_block,
             comparison_group: matrix}
    invalid_is_expected: the most important weights are gone
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 6, system_prompt: true, chat_template: true,
     max_new_tokens: 24}
  - {kind: attack, name: adv_decoding, dataset: evaluation-requests, prompts: 4, system_prompt: false,
     chat_template: false, samples: 2, temperature: 1.0, max_new_tokens: 24}
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 3}
validity: {minimum_fit_share: 0.5, calibration_prompts: 4}
golden_values: none
"""
#: The intact model alone, with canaries.
INTACT = """
id: asking
title: A run with canaries
source: {work: test}
cells: [{id: intact, title: Intact}]
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 6, system_prompt: true, chat_template: true,
     max_new_tokens: 16}
validity: {minimum_fit_share: 0.5, calibration_prompts: 4}
golden_values: none
"""


def bound_on(
    variant: str, folder: Path, text: str = SMALL, cells: Collection[str] | None = None, scaled: bool = True
) -> BoundBenchmark:
    """The benchmark on a variant. cells: those that a test looks at, which are measured with the intact one alone.

    scaled: whether the variant's own values for fine-tunings take the place of the benchmark's.
    """
    path = folder / "faulty.yaml"
    path.write_text(text, encoding="utf-8")
    place = locations.find_variant(variant) if not Path(variant).is_file() else Path(variant)
    spec = load_yaml_model(path, BenchmarkSpec)
    if cells is not None:
        kept = tuple(group for group in spec.cells if group.id in {"intact", *cells})
        spec = spec.model_copy(update={"cells": kept})
    own = load_yaml_model(place, ModelVariant)
    return bind(spec, own if scaled else own.model_copy(update={"fine_tuning": {}}), place)


@pytest.fixture(params=["tiny-llama2-chat", "tiny-llama3-instruct"])
def organism(request) -> str:
    return request.param
