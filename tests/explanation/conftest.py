"""Real runs in miniature on the shipped organisms: one that is healthy, one whose edits destroy the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from harness.explanation.recorded import RecordedRun, open_run
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

SPEC = """
id: explained
title: Cells to be explained
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 128, seed: 0}
cells:
  - {id: intact, title: Intact}
  - {id: planted, title: Planted, region: {select: planted}}
  - id: short
    title: Top weights
    region: {select: top, method: snip, data: safety, fraction: 0.06, comparison_group: matrix}
    invalid_is_expected: the model is meant to be destroyed
  - id: phrases
    title: Least weights
    region: {select: bottom, method: snip, data: safety, fraction: 0.7}
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 20, system_prompt: true, chat_template: true}
  - {kind: attack, name: benign, dataset: benign-requests, prompts: 5, system_prompt: true, chat_template: true,
     benign: true}
golden_values: none
"""


@dataclass(frozen=True)
class Runner:
    """Runs `SPEC` with some of its cells; `changed` gets the parsed YAML to alter it."""

    folder: Path

    def __call__(self, name, cells, variant="tiny-llama3-instruct", changed=lambda content: None) -> RecordedRun:
        content = yaml.safe_load(SPEC)
        content["cells"] = [cell for cell in content["cells"] if cell["id"] in cells]
        changed(content)
        spec = self.folder / f"{name}.yaml"
        spec.write_text(yaml.safe_dump(content), encoding="utf-8")
        path = locations.find_variant(str(variant))
        bound = bind(load_yaml_model(spec, BenchmarkSpec), load_yaml_model(path, ModelVariant), path)
        return open_run(run_in_process(bound, self.folder / name)[1])


@pytest.fixture(scope="session")
def run_cells(tmp_path_factory) -> Runner:
    return Runner(tmp_path_factory.mktemp("explained"))


@pytest.fixture(scope="session")
def destroyed(run_cells) -> RecordedRun:
    """All cells of SPEC, on the organism in the manner of Llama 3."""
    return run_cells("destroyed", ["intact", "planted", "short", "phrases"])
