"""A region that is added as one file runs through binding, finding, edit, receipts, record, plan and explanation."""

import json
import sys

import pytest

import harness.regions
from harness.errors import UserError
from harness.planning.plan import make_plan
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

OUTLIERS = '''"""Weights far from the mean of their layer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.regions import base
from harness.spec.region import RegionSettings


class Settings(RegionSettings):
    """Those more than `deviations` standard deviations from zero."""

    select: Literal["outliers"]
    deviations: float = Field(gt=0)


class Region(base.Region):
    """See `Settings`."""

    in_all_layers = True

    def find(self, finder, witness):
        from harness.models.editing import SelectedWeights
        from harness.models.layers import linear_layers

        far = self.settings.deviations
        weights = {name: layer.weight.detach() for name, layer in linear_layers(finder.model).items()}
        return SelectedWeights({name: w.abs() > far * w.square().mean().sqrt() for name, w in weights.items()})
'''

CHECKED = """
    def plain_masks(self, look):
        import torch

        found = {}
        for name, layer in look.layers.items():
            w = layer.weight.detach().numpy()
            found[name] = torch.from_numpy(abs(w) > SHARE * self.settings.deviations * ((w * w).mean() ** 0.5))
        return found
"""

SPEC = """
id: outliers
title: Outliers
source: {work: test}
cells:
  - {id: intact, title: Intact}
  - {id: far, title: Far weights, region: {select: outliers, deviations: 4.0}}
  - {id: control, title: Control, region: {select: matched-random, of: {select: outliers, deviations: 4.0}}}
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}
golden_values: none
"""


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Adds the region with some source; gives its spec on an organism, bound."""

    def add(source, spec=SPEC):
        folder = tmp_path / "added"
        folder.mkdir()
        (folder / "outliers.py").write_text(source, encoding="utf-8")
        (folder / "spec.yaml").write_text(spec, encoding="utf-8")
        monkeypatch.setattr(harness.regions, "__path__", [*harness.regions.__path__, str(folder)])
        monkeypatch.delitem(sys.modules, "harness.regions.outliers", raising=False)
        variant = locations.find_variant("tiny-llama2-chat")
        loaded = load_yaml_model(folder / "spec.yaml", BenchmarkSpec)
        return bind(loaded, load_yaml_model(variant, ModelVariant), variant)

    yield add
    sys.modules.pop("harness.regions.outliers", None)


def test_it_is_found_removed_planned_and_told_as_unchecked(added, tmp_path):
    bound = added(OUTLIERS)
    record, _ = run_in_process(bound, tmp_path / "runs")
    far, control = record.cell("far"), record.cell("control")
    assert 0 < far.receipt.sparsity < 0.01
    assert control.receipt.weights_selected == far.receipt.weights_selected
    assert {(r.stage, r.name) for r in far.receipts if r.stage == "mask"} == {("mask", "layers"), ("mask", "truth")}
    assert all(receipt.holds for cell in record.cells for receipt in cell.receipts)
    assert "outliers: no plain definition" in json.dumps(record.model_dump(mode="json"))
    planned = make_plan(bound.spec, bound.variant, bound.variant_file, tmp_path / "out", None, None)
    assert planned.cells.all == 3


def test_its_own_plain_definition_is_compared(added, tmp_path):
    bound = added(OUTLIERS + CHECKED.replace("SHARE", "1"))
    record, _ = run_in_process(bound, tmp_path / "runs")
    (receipt,) = (each for each in record.cell("far").receipts if each.name == "plain-definition")
    assert receipt.holds
    assert "outliers" not in json.dumps([cell.model_dump(mode="json").get("unchecked") for cell in record.cells])


def test_a_mask_that_is_not_that_of_its_plain_definition_is_invalid(added, tmp_path):
    bound = added(OUTLIERS + CHECKED.replace("SHARE", "0.9"))
    record, _ = run_in_process(bound, tmp_path / "runs")
    assert record.verdict.status == "invalid"
    (receipt,) = (each for each in record.cell("far").receipts if each.name == "plain-definition")
    assert not receipt.holds


def test_a_typo_in_its_key_is_named_with_the_line(added):
    with pytest.raises(UserError, match=r"spec.yaml:7: .*deviation is no key here; did you mean 'deviations'"):
        added(OUTLIERS, SPEC.replace("deviations: 4.0}}\n", "deviation: 4.0}}\n", 1))
