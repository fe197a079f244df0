"""Regions before and after a fine-tuning, from a spec to figures, against checkpoints and float64."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.calibration.pairs import draw, read_pairs, tokenise
from harness.errors import UserError
from harness.models.fingerprint import model_fingerprint
from harness.models.layers import linear_layers
from harness.models.loading import load_variant
from harness.regions.top import Settings as TopRegion
from harness.runs.bench import prepare_bench
from harness.runs.binding import bind
from harness.runs.fine_tuned import fine_tuned
from harness.runs.regions import ModelIsAnother
from harness.runs.store import TensorStore
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.finetuning import FineTuningOverrides
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

SPEC = """
id: rescored
title: Extension 1 in miniature
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
  safety-other: {dataset: safety-full, samples: 8, skip: 8}
cells:
  - {id: intact, title: Intact}
  - id: no-steps
    title: No steps
    fine_tuning: &lora {method: lora, dataset: utility, examples: 0, epochs: 1, lora: {r: 4}}
  - id: fine-tuned
    title: Fine-tuned
    fine_tuning: {<<: *lora, examples: 40}
  - id: frozen
    title: Frozen
    fine_tuning:
      <<: *lora
      examples: 40
      frozen: &critical {select: set-difference, method: snip, safety: safety, utility: utility, p: 0.05, q: 0.05}
evaluations:
  - kind: rescored_overlap
    compared: {critical: *critical, top: {select: top, method: snip, data: safety, fraction: 0.01}}
  - kind: overlap
    name: other_top
    first: {select: top, method: snip, data: safety, fraction: 0.01}
    second: {select: top, method: snip, data: safety-other, fraction: 0.01}
    measures: [overlap_share]
claims:
  - {id: c, section: s, says: s, quantifier: all, cells: [frozen], conditions: [{metric: top_jaccard, at_most: 1.0}]}
golden_values: none
"""
RATE = {"lora": FineTuningOverrides(learning_rate=0.01)}


def spec(folder, text=SPEC):
    path = folder / "rescored.yaml"
    path.write_text(text.lstrip(), encoding="utf-8")
    return load_yaml_model(path, BenchmarkSpec)


@pytest.fixture(scope="module")
def bound(tmp_path_factory):
    place = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(place, ModelVariant).model_copy(update={"fine_tuning": RATE})
    return bind(spec(tmp_path_factory.mktemp("spec")), variant, place)


@pytest.fixture(scope="module")
def record(bound, tmp_path_factory):
    return run_in_process(bound, tmp_path_factory.mktemp("runs"))[0]


@pytest.fixture(scope="module")
def checkpoints(bound, tmp_path_factory):
    """Folders of the intact and the two fine-tuned models, and the fingerprints that their receipts have."""
    folder = tmp_path_factory.mktemp("checkpoints")
    loaded = load_variant(bound.variant, bound.variant_file)
    bench = prepare_bench(bound, loaded, model_fingerprint(loaded.model), TensorStore(folder / "store"))
    loaded.model.save_pretrained(folder / "intact")
    prints = {}
    for cell in bound.cells[2:]:
        with fine_tuned(
            bound, loaded, bench.finder, cell.fine_tuning, None, folder / "steps", lambda words: None
        ) as tuned:
            loaded.model.save_pretrained(folder / cell.id)
        prints[cell.id] = tuned.receipt.fingerprint_after
    return folder, prints


def saved(folder, name):
    return AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float64)


def snip_scores(model, samples):
    """Mean over examples of |W ∘ ∇L| by autograd on the whole model, as numpy arrays."""
    layers = linear_layers(model)
    totals = {name: np.zeros(layer.weight.shape) for name, layer in layers.items()}
    for sample in samples:
        model.zero_grad()
        model(input_ids=sample.input_ids[None], labels=sample.labels[None]).loss.backward()
        for name, layer in layers.items():
            totals[name] += np.abs(layer.weight.detach().numpy() * layer.weight.grad.numpy()) / len(samples)
    return totals


def top(scores, fraction):
    """The places of the int(fraction · columns) largest scores of each row."""
    best = np.argsort(-scores, axis=1)[:, : int(fraction * scores.shape[1])]
    return {(row, column) for row, columns in enumerate(best.tolist()) for column in columns}


def regions_of(model, samples):
    scores = {name: snip_scores(model, found) for name, found in samples.items()}
    return {
        layer: {
            "critical": top(scores["safety"][layer], 0.05) - top(scores["utility"][layer], 0.05),
            "top": top(scores["safety"][layer], 0.01),
        }
        for layer in scores["safety"]
    }


@pytest.fixture(scope="module")
def recomputed(bound, checkpoints):
    """By checkpoint, layer and region: the selected places, in float64 from the files."""
    loaded = load_variant(bound.variant, bound.variant_file)
    samples = {
        name: tokenise(draw(read_pairs(bound.path_of(dataset)), 8, 0), loaded.tokenizer, bound.variant.context_tokens)
        for name, dataset in (("safety", "safety-full"), ("utility", "utility"))
    }
    return {name: regions_of(saved(checkpoints[0], name), samples) for name in ("intact", "fine-tuned", "frozen")}


@pytest.mark.parametrize("cell", ["fine-tuned", "frozen"])
def test_the_overlap_is_that_of_the_saved_checkpoints(record, checkpoints, recomputed, cell):
    """Scores in float32 that nearly tie may change a few weights."""
    assert record.cell(cell).fine_tuning.fingerprint_after == checkpoints[1][cell]
    for region in ("critical", "top"):
        pairs = [(before[region], recomputed[cell][layer][region]) for layer, before in recomputed["intact"].items()]
        both, first = sum(len(a & b) for a, b in pairs), sum(len(a) for a, _ in pairs)
        union = sum(len(a | b) for a, b in pairs)
        share, jaccard = (record.cell(cell).measurement(f"{region}_{name}") for name in ("overlap_share", "jaccard"))
        assert share.value == pytest.approx(both / first, abs=0.005)
        assert jaccard.value == pytest.approx(both / union, abs=0.005)
        assert (share.n, jaccard.n) == (pytest.approx(first, rel=0.005), pytest.approx(union, rel=0.005))
        assert share.value < 0.95
    for layer, before in recomputed["intact"].items():
        wanted = len(before["critical"] & recomputed[cell][layer]["critical"]) / len(before["critical"])
        found = record.cell(cell).measurement(f"critical_overlap_share/{layer}").value
        assert found == pytest.approx(wanted, abs=0.02)


def test_frozen_weights_keep_every_bit_in_the_saved_checkpoint(record, checkpoints, recomputed):
    before, after = (
        {
            name: layer.weight
            for name, layer in linear_layers(
                AutoModelForCausalLM.from_pretrained(checkpoints[0] / name_of, dtype=torch.float32)
            ).items()
        }
        for name_of in ("intact", "frozen")
    )
    frozen = changed = 0
    for layer, regions in recomputed["intact"].items():
        rows, columns = (torch.tensor(part) for part in zip(*regions["critical"], strict=True))
        old, new = (weights[layer][rows, columns].detach().numpy().view(np.int32) for weights in (before, after))
        frozen, changed = frozen + len(old), changed + int((old != new).sum())
        assert not torch.equal(before[layer], after[layer])
    assert changed / frozen < 0.005  # places at which float64 and float32 disagree
    assert record.cell("frozen").measurement("critical_unchanged_share").value == 1.0
    assert record.cell("fine-tuned").measurement("critical_unchanged_share").value < 0.1


def test_two_scorings_of_one_model_agree_wholly(record):
    for cell in ("intact", "no-steps"):
        found = [m for m in record.cell(cell).measurements if not m.metric.startswith("other_")]
        assert len(found) > 50
        assert all(m.value == 1.0 for m in found)


def test_other_pairs_are_measured_on_the_intact_model_alone(record):
    share = record.cell("intact").measurement("other_top_overlap_share").value
    assert 0.2 < share < 1.0
    assert record.cell("frozen").measurement("other_top_overlap_share") is None


TOP = TopRegion.model_validate({"select": "top", "method": "snip", "data": "safety", "fraction": 0.01})


def test_scores_of_a_changed_model_are_never_those_of_the_intact_one(bound, tmp_path):
    """With nothing stored yet, asking for the intact model's region in a changed model is an error, not a score."""
    loaded = load_variant(bound.variant, bound.variant_file)
    finder = prepare_bench(bound, loaded, model_fingerprint(loaded.model), TensorStore(tmp_path)).finder
    settings = bound.cells[2].fine_tuning
    with fine_tuned(bound, loaded, finder, settings, None, tmp_path / "steps", lambda words: None):
        for region in (TOP, TOP.model_copy(update={"schedule": "block_by_block"})):
            with pytest.raises(ModelIsAnother):
                finder.masks(region)
        (anew,) = finder.masks_anew([TOP])
        assert not list(tmp_path.glob("*.safetensors"))
    before = finder.masks(TOP)
    assert any(not torch.equal(before[name], anew[name]) for name in before)
    with fine_tuned(bound, loaded, finder, settings, None, tmp_path / "steps", lambda words: None):
        assert all(torch.equal(before[name], mask) for name, mask in finder.masks(TOP).items())
    (again,) = finder.masks_anew([TOP])
    assert all(torch.equal(before[name], mask) for name, mask in again.items())


def test_each_calibration_set_is_scored_once_for_all_regions(bound, tmp_path):
    loaded = load_variant(bound.variant, bound.variant_file)
    finder = prepare_bench(bound, loaded, model_fingerprint(loaded.model), TensorStore(tmp_path)).finder
    rows = []
    hook = loaded.model.model.layers[0].register_forward_hook(lambda m, i, output: rows.append(len(i[0])))
    finder.masks_anew(bound.spec.evaluations[0].regions)
    hook.remove()
    assert sum(rows) == 16


def test_samples_of_sets_that_skip_one_another_are_disjoint(bound, tmp_path):
    loaded = load_variant(bound.variant, bound.variant_file)
    finder = prepare_bench(bound, loaded, model_fingerprint(loaded.model), TensorStore(tmp_path)).finder
    first, other = (
        {tuple(sample.input_ids.tolist()) for sample in finder.samples(name, None)}
        for name in ("safety", "safety-other")
    )
    assert (len(first), len(other), first & other) == (8, 8, set())


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "{critical: *critical, top: {select: top,",
            "{top: {select: planted,",
            "rescored.yaml:24: evaluations[0].compared.top: select is planted",
        ),
        (
            "data: safety, fraction: 0.01}}",
            "data: safty, fraction: 0.01}}",
            "rescored.yaml:23: evaluations[0]: no calibration set 'safty'; did you mean 'safety'?",
        ),
        ("skip: 8", "skip: -8", "rescored.yaml:7: calibration.safety-other.skip is -8;"),
        ("skip: 8", "skipp: 8", "rescored.yaml:7: calibration.safety-other.skipp is no key here; did you mean 'skip'?"),
        ("metric: top_jaccard", "metric: topp_jaccard", "did you mean 'top_jaccard'?"),
        ("metric: top_jaccard", "metric: other_top_overlap_share", "so that the cell frozen has no"),
    ],
)
def test_nonsense_is_refused_with_its_line(tmp_path, old, new, wanted):
    assert old in SPEC
    with pytest.raises(UserError) as caught:
        spec(tmp_path, SPEC.replace(old, new, 1))
    assert wanted in str(caught.value)


def test_without_a_cell_that_changes_the_weights_there_is_nothing_to_compare(tmp_path):
    cells = SPEC[SPEC.index("  - id: no-steps") : SPEC.index("evaluations:")]
    alone = SPEC.replace(cells, "").replace("*critical", "{select: top, method: snip, data: safety, fraction: 0.1}")
    with pytest.raises(UserError, match=r"rescored.yaml:11: evaluations\[0\]: rescored compares changed models with"):
        spec(tmp_path, alone.replace("cells: [frozen]", "cells: [intact]"))


def test_regions_that_no_score_of_the_model_decides_are_refused(tmp_path, bound):
    text = SPEC.replace("top: {select: top, method: snip, data: safety,", "top: {select: top, method: random,")
    with pytest.raises(UserError, match="evaluation rescored: the method random looks at no model"):
        bind(spec(tmp_path, text), bound.variant, bound.variant_file)


def test_a_set_that_skips_past_the_end_is_found_before_the_model_is_loaded(tmp_path, bound):
    with pytest.raises(UserError, match="calibration set safety-other: 8 samples after the first 9999 were asked for"):
        bind(spec(tmp_path, SPEC.replace("skip: 8", "skip: 9999")), bound.variant, bound.variant_file)
