"""Evaluations of the intact model's regions and Grams, from a spec to figures, keys and refusals."""

import pytest
import torch

from harness.calibration.pairs import draw, read_pairs, tokenise
from harness.errors import UserError
from harness.models.layers import linear_layers
from harness.models.loading import load_variant
from harness.runs.binding import bind
from harness.runs.keys import Surroundings, cell_key
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.low_rank.conftest import kept_inputs
from tests.runs.conftest import run_in_process

SPEC = """
id: overlaps
title: Overlaps
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
  unused: {dataset: safety-short, samples: 8}
cells:
  - {id: intact, title: Intact}
evaluations:
  - kind: overlap
    name: wanda
    first: {select: top, method: wanda, data: utility, fraction: 0.05}
    second: {select: top, method: wanda, data: safety, fraction: 0.1}
  - {kind: overlap, name: planted, first: {select: planted}, second: {select: planted}}
  - {kind: subspace_similarity, name: similarity, utility: utility, safety: safety, ranks: [3]}
claims:
  - {id: mlp-below-attention, section: "4.3", says: s, quantifier: all, cells: [intact],
     conditions: [{metric: wanda_jaccard_mean_mlp, at_most: {metric: wanda_jaccard_mean_attention, plus: 1.0}}]}
golden_values: none
"""
#: One cell more, in which the model is another.
CUT = SPEC.replace("evaluations:", "  - {id: cut, title: Cut, region: {select: planted}}\nevaluations:")


@pytest.fixture(scope="module")
def variant():
    path = locations.find_variant("tiny-llama2-chat")
    return load_yaml_model(path, ModelVariant), path


def spec(tmp_path, text=SPEC):
    path = tmp_path / "overlaps.yaml"
    path.write_text(text.lstrip(), encoding="utf-8")
    return load_yaml_model(path, BenchmarkSpec)


@pytest.fixture(scope="module")
def measured(variant, tmp_path_factory):
    """(record, model, {calibration set: X_in of every layer, computed with activations that are kept})."""
    folder = tmp_path_factory.mktemp("overlaps")
    bound = bind(spec(folder), *variant)
    record, _ = run_in_process(bound, folder / "runs")
    loaded = load_variant(*variant)
    inputs = {}
    for name, dataset in (("utility", "utility"), ("safety", "safety-full")):
        pairs = draw(read_pairs(bound.path_of(dataset)), 8, 0)
        inputs[name] = kept_inputs(loaded.model, tokenise(pairs, loaded.tokenizer, variant[0].context_tokens))
    return record, loaded.model, inputs


def test_a_run_of_the_intact_model_alone_judges_its_claims(measured):
    record = measured[0]
    assert (record.verdict.status, record.claims[0].status) == ("passed", "supported")
    assert record.validity_thresholds == {}


def test_the_jaccard_index_is_that_of_the_largest_scores_of_every_row(measured):
    """Wanda's |W| ||x|| in float64 and a sort; scores that nearly tie may change a few weights."""
    record, model, inputs = measured
    for name, layer in linear_layers(model).items():
        tops = []
        for side, fraction in (("utility", 0.05), ("safety", 0.1)):
            score = layer.weight.detach().double().abs() * inputs[side][name].norm(dim=1)
            best = score.argsort(dim=1, descending=True)[:, : int(fraction * score.shape[1])]
            tops.append({(row, column) for row, columns in enumerate(best.tolist()) for column in columns})
        found = record.cells[0].measurement(f"wanda_jaccard/{name}")
        wanted = len(tops[0] & tops[1]) / len(tops[0] | tops[1])
        assert found.value == pytest.approx(wanted, abs=0.005)
        assert found.n == pytest.approx(len(tops[0] | tops[1]), rel=0.005)


def test_the_similarity_is_that_of_the_singular_vectors(measured):
    record, model, inputs = measured
    for name, layer in linear_layers(model).items():
        weight = layer.weight.detach().double()
        utility, safety = (
            torch.linalg.svd(weight @ inputs[side][name], full_matrices=False)[0][:, :3]
            for side in ("utility", "safety")
        )
        wanted = float(torch.linalg.matrix_norm(utility.mT @ safety) ** 2) / 3
        assert record.cells[0].measurement(f"similarity_rank3/{name}").value == pytest.approx(wanted, abs=1e-3)


def test_a_region_overlaps_itself_wholly(measured):
    cell = measured[0].cells[0]
    assert (cell.measurement("planted_jaccard").value, cell.measurement("planted_jaccard").n) == (1.0, 11264)
    assert len([m for m in cell.measurements if m.metric.startswith("planted_jaccard/")]) == 7


def key(variant, tmp_path, old, new):
    bound = bind(spec(tmp_path, SPEC.replace(old, new)), *variant)
    return cell_key(bound, bound.cells[0], Surroundings("model", "tokenizer", "machine"))


def test_a_cell_is_another_one_where_a_set_of_its_evaluations_is(variant, tmp_path):
    same = key(variant, tmp_path, "Overlaps", "Another title")
    assert key(variant, tmp_path, "", "") == same
    assert key(variant, tmp_path, "{dataset: safety-short, samples: 8}", "{dataset: safety-short, samples: 9}") == same
    for old, new in (
        ("{dataset: safety-full, samples: 8}", "{dataset: safety-full, samples: 9}"),
        ("{dataset: utility, samples: 8}", "{dataset: utility, samples: 8, seed: 1}"),
        ("fraction: 0.1", "fraction: 0.2"),
        ("ranks: [3]", "ranks: [4]"),
    ):
        assert key(variant, tmp_path, old, new) != same


def test_the_record_holds_the_hashes_of_the_data_behind_the_sets(measured, variant):
    for name in ("safety-full", "utility"):
        assert measured[0].provenance.data_sha256[name] == variant[0].datasets[name].sha256


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "data: utility",
            "data: utilty",
            "overlaps.yaml:11: evaluations[0]: no calibration set 'utilty'; did you mean 'utility'?",
        ),
        (
            "safety: safety,",
            "safety: safty,",
            "overlaps.yaml:16: evaluations[2]: no calibration set 'safty'; did you mean 'safety'?",
        ),
        ("method: wanda, data: s", "method: wandaa, data: s", "overlaps.yaml:14: evaluations[0].second.method is"),
        ("ranks: [3]", "ranks: [0]", "overlaps.yaml:16: evaluations[2].ranks[0] is 0;"),
    ],
)
def test_what_is_wrong_with_an_evaluation_is_found_at_load_with_its_line(tmp_path, old, new, wanted):
    with pytest.raises(UserError) as caught:
        spec(tmp_path, SPEC.replace(old, new, 1))
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "cells: [intact],",
            "cells: [cut],",
            "overlaps.yaml:20: claims[0].conditions[0].metric: wanda is measured "
            "where the weights are left alone, so that the cell cut has no wanda_jaccard_mean_mlp",
        ),
        (
            "at_most: {metric",
            "at_most: {cell: cut, metric",
            "overlaps.yaml:20: claims[0].conditions[0].at_most.metric: "
            "wanda is measured where the weights are left alone",
        ),
        (
            "metric: wanda_jaccard_mean_mlp, at_most: {metric: wanda_jaccard_mean_attention",
            "metric: wanda_jaccard/model.layers.0.mlp.up_proj, at_most: {cell: cut",
            "overlaps.yaml:20: claims[0].conditions[0].at_most.cell: wanda is measured where",
        ),
    ],
)
def test_figures_of_the_intact_model_are_not_looked_for_in_cells_that_change_it(tmp_path, old, new, wanted):
    assert {e.name for e in spec(tmp_path, CUT).evaluations_of(spec(tmp_path, CUT).expanded_cells()[1])} == set()
    with pytest.raises(UserError) as caught:
        spec(tmp_path, CUT.replace(old, new, 1))
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "changes", "wanted"),
    [
        ("dataset: safety-full", "dataset: safety-ful", {}, "no dataset 'safety-ful'; did you mean 'safety-full'"),
        ("", "", {"planted_region": None}, "evaluation planted: the variant tiny-llama2-chat has no planted region"),
        ("method: wanda, data: utility,", "method: wanda,", {}, "evaluation wanda: the method wanda needs calibration"),
        (
            "first: {select: planted}",
            "first: {select: attention-heads, harmful: x, harmless: y, fraction: 0.1}",
            {},
            "no dataset 'x'",
        ),
    ],
)
def test_what_a_variant_cannot_give_is_found_before_the_model_is_loaded(tmp_path, variant, old, new, changes, wanted):
    with pytest.raises(UserError, match=wanted):
        bind(spec(tmp_path, SPEC.replace(old, new, 1)), variant[0].model_copy(update=changes), variant[1])
