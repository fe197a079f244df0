"""Regions of attention heads and the probing evaluation, in a run that generates no text."""

from types import SimpleNamespace

import pytest
import torch

from harness.calibration.files import dataset_path
from harness.errors import UserError
from harness.models.loading import load_variant
from harness.models.prompts import PromptFormatter
from harness.regions import base
from harness.regions.attention_heads import Settings as HeadsRegion
from harness.reports.html import write_report
from harness.runs.binding import bind
from harness.runs.head_regions import HeadFinder
from harness.runs.store import TensorStore
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

HEADS = """
id: heads
title: Attention heads
source: {work: test}
cells:
  - {id: intact, title: Intact}
  - id: heads
    title: Best heads removed
    region: {select: attention-heads, harmful: selection-requests, harmless: benign-selection-requests}
    grid: {fraction: [0.01, 0.25]}
evaluations:
  - {kind: probing, harmful: selection-requests, harmless: benign-selection-requests, prompts: 70}
golden_values: none
"""
HEAD_WEIGHTS = 4 * 16 * 128  # q, k, v and o; head size 16, hidden size 128
PLANTED = "probing_accuracy/model.layers.1.self_attn/head.0"


@pytest.fixture(scope="module")
def variant():
    path = locations.find_variant("tiny-llama2-chat")
    return load_yaml_model(path, ModelVariant), path


def spec(tmp_path, text=HEADS):
    path = tmp_path / "heads.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml_model(path, BenchmarkSpec)


@pytest.fixture(scope="module")
def record(variant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    found, _ = run_in_process(bind(spec(folder), *variant), folder / "runs")
    write_report(folder / "runs", folder / "report.html")
    return found, folder


def test_a_run_without_texts_needs_no_thresholds_and_passes(record):
    assert record[0].verdict.status == "passed"
    assert record[0].validity_thresholds == {}
    assert "No evaluation generates texts" in (record[1] / "report.html").read_text(encoding="utf-8")


def test_a_fraction_of_the_heads_is_removed_whole(record):
    selected = [cell.receipt.weights_selected for cell in record[0].cells if cell.receipt]
    assert selected == [1 * HEAD_WEIGHTS, 8 * HEAD_WEIGHTS]
    truth = record[0].cells[1].receipt.truth_by_layer["model.layers.1.self_attn.q_proj"]
    assert (truth.precision, truth.recall) == (1.0, 1.0)  # the best head is the planted one


def test_a_removed_head_knows_nothing(record):
    """Its output is zero, so that its probe says the same of all; 20 of each class validate."""
    intact, without, _ = record[0].cells
    assert intact.measurement(PLANTED).value == 1.0
    assert (without.measurement(PLANTED).value, without.measurement(PLANTED).n) == (0.5, 40)


def test_minimum_mean_and_share_are_those_of_the_heads(record):
    cell = record[0].cells[0]
    heads = [m.value for m in cell.measurements if "/head." in m.metric]
    assert len(heads) == 32
    assert cell.measurement("probing_minimum_accuracy").value == min(heads)
    assert cell.measurement("probing_mean_accuracy").value == pytest.approx(sum(heads) / 32)
    share = cell.measurement("probing_share_of_heads_above_0.95")
    assert (share.value, share.n) == (sum(value > 0.95 for value in heads) / 32, 32)
    assert share.interval[0] < share.value < share.interval[1]


def test_the_record_holds_the_hashes_of_the_probed_requests(record, variant):
    for name in ("selection-requests", "benign-selection-requests"):
        assert record[0].provenance.data_sha256[name] == variant[0].datasets[name].sha256


@pytest.mark.parametrize("evaluation", ["select: attention-heads, harmful: ", "kind: probing, harmful: "])
def test_a_dataset_that_the_variant_lacks_is_found_before_the_model_is_loaded(tmp_path, variant, evaluation):
    text = HEADS.replace(evaluation + "selection-requests", evaluation + "selection-request")
    with pytest.raises(UserError, match="no dataset 'selection-request'; did you mean 'selection-requests'"):
        bind(spec(tmp_path, text), *variant)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("fraction: [0.01, 0.25]", "fraction: [0.01, 1.5]", "heads.yaml:10: cells[1].grid.fraction is 1.5;"),
        ("harmless: benign-selection-requests, p", "harmless: selection-requests, p", "expected two datasets"),
    ],
)
def test_errors_of_a_spec_with_heads_are_located(tmp_path, old, new, wanted):
    with pytest.raises(UserError) as caught:
        spec(tmp_path, HEADS.replace(old, new))
    assert wanted in str(caught.value)


def test_the_heads_are_probed_once_for_all_fractions(variant, tmp_path):
    loaded = load_variant(*variant)
    formatter = PromptFormatter(loaded.tokenizer, variant[0].chat_template, variant[0].system_prompt)

    def finder(model_sha256):
        return HeadFinder(
            loaded.model,
            model_sha256,
            formatter,
            lambda name: dataset_path(*variant, name),
            TensorStore(tmp_path),
            {"machine": "this"},
        )

    region = HeadsRegion(
        select="attention-heads", harmful="selection-requests", fraction=0.1, harmless="benign-selection-requests"
    )

    def masks(model_sha256, settings):
        search = SimpleNamespace(model=loaded.model, heads=finder(model_sha256))
        return base.region(settings).find(search, None).masks

    first = masks("intact", region)
    masks("intact", region.model_copy(update={"fraction": 0.5}))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    loaded.model.model.layers[1].self_attn.o_proj.weight.data.zero_()
    again = masks("intact", region)
    assert all(torch.equal(first[name], again[name]) for name in {*first, *again})
    for changed in ({"seed": 1}, {"prompts": 50}, {"system_prompt": False}):
        masks("intact", region.model_copy(update=changed))
    masks("another model", region)
    assert len(list(tmp_path.glob("*.safetensors"))) == 5
