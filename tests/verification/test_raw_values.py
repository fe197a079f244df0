"""Figures of layers, heads and groups of weights, made anew from counts and sums: tampering is caught and named."""

import pytest
import torch

from harness.formulas import drift
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.verification import drifts
from harness.verification.reader import verify
from tests.runs.conftest import run_in_process
from tests.verification.conftest import caught, copy_of

SPEC = """
id: by-layer
title: Figures of layers, heads and groups of weights, in small
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
attribution: {comparison_group: matrix}
cells:
  - {id: intact, title: Intact}
  - id: tuned
    title: Fine-tuned
    fine_tuning: &how {method: lora, lora: {r: 4}, dataset: utility, examples: 12, epochs: 1,
                       learning_rate: 0.01, batch_size: 4, checkpoint_every: 1}
  - {id: no-steps, title: Not tuned, fine_tuning: {<<: *how, examples: 0}}
evaluations:
  - {kind: overlap, name: tops, first: &top {select: top, method: snip, data: safety, fraction: 0.05},
     second: {select: top, method: snip, data: utility, fraction: 0.05}, measures: [jaccard, overlap_share]}
  - {kind: overlap, name: planted, first: *top, second: {select: planted}}
  - kind: rescored_overlap
    compared: {top_safety: *top, largest: {select: top, method: wanda, data: safety, fraction: 0.01}}
  - {kind: subspace_similarity, utility: utility, safety: safety, ranks: [64, 1024], of_directions: 4096}
  - {kind: probing, harmful: probing-harmful, harmless: probing-harmless, prompts: 21, system_prompt: true,
     chat_template: true}
  - kind: drift
    checkpoints: 3
    groups:
      - {name: top, region: *top}
      - {name: matched, region: {select: matched-random, of: *top}}
      - {name: largest, region: {select: top, method: magnitude, fraction: 0.01}}
    compare: [{first: matched, second: top}, {first: largest, second: top}]
    replicates: 50
  - {kind: drift, name: merged, checkpoints: 3, merge_dtype: bfloat16, replicates: 20,
     groups: [{name: first, region: *top}]}
golden_values: none
"""
Q0 = "model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def by_layer(tmp_path_factory):
    """(record, folder of the run, folder of all runs)."""
    out = tmp_path_factory.mktemp("by-layer")
    (out / "spec.yaml").write_text(SPEC, encoding="utf-8")
    path = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(path, ModelVariant).model_copy(update={"fine_tuning": {}})
    record, written = run_in_process(
        bind(load_yaml_model(out / "spec.yaml", BenchmarkSpec), variant, path), out / "runs"
    )
    return record, written.parent, out / "runs"


@pytest.fixture
def tampered(by_layer, tmp_path):
    return copy_of(by_layer, tmp_path)


def test_every_figure_is_made_anew_but_those_that_the_record_says_nobody_makes(by_layer):
    record, folder, _ = by_layer
    found = verify(folder)
    assert record.verdict.status == "passed", record.verdict.reasons
    figures = [(cell.id, m.metric) for cell in record.cells for m in cell.measurements]
    nobody = [metric for _, metric in figures if any(f"/{name}/" in metric for name in NOBODY)]
    assert 20 < len(nobody) < 300
    assert found.agrees["figure"] == len(figures) - len(nobody) > 500
    told = [words for words in found.unread if "absolute_median, absolute_q05" in words]
    assert [words.split(":")[0] for words in told] == ["evaluation drift", "evaluation merged"]
    assert {*told} <= {*record.cell("tuned").unchecked}
    assert not {*told} & {*record.cell("intact").unchecked}


NOBODY = [
    f"{kind}_{name}" for kind in ("absolute", "relative") for name in ("median", "q05", "q25", "q75", "q95", "q99")
]
NOBODY.append("relative_trimmed_mean")


def row(run, cell, evaluation, part, index=0):
    rows = [r for r in run.raw[cell] if (r["evaluation"], r["part"], r["index"]) == (evaluation, part, index)]
    assert len(rows) == 1
    return rows[0]


def without(run, cell, evaluation, part, index=0):
    run.raw[cell].remove(row(run, cell, evaluation, part, index))


def without_in_all_cells(run, evaluation, part):
    for cell in run.raw:
        run.raw[cell] = [r for r in run.raw[cell] if (r["evaluation"], r["part"]) != (evaluation, part)]


def one_more(run, cell, evaluation, part, column, index=0):
    row(run, cell, evaluation, part, index)["values"][column] += 1


def figure(run, cell, metric, **fields):
    run.figure(cell, metric).update(fields)


HEAD = "model.layers.1.self_attn/head.0"
TAMPERED = {
    "a layer's overlap": (
        lambda r: figure(r, "intact", f"tops_jaccard/{Q0}", value=0.5),
        f"figure tops_jaccard/{Q0} of intact: recorded 0.5",
    ),
    "the mean overlap": (lambda r: figure(r, "intact", "tops_jaccard_mean", value=0.5), "figure tops_jaccard_mean of"),
    "the mean of the MLP": (lambda r: figure(r, "intact", "tops_jaccard_mean_mlp", value=0.5), "tops_jaccard_mean_mlp"),
    "the overlap of all": (lambda r: figure(r, "intact", "tops_overlap_share", value=0.5), "figure tops_overlap_share"),
    "an interval over layers": (
        lambda r: figure(r, "intact", "tops_jaccard_mean_attention", interval=[0, 1]),
        "interval of tops_jaccard_mean_attention",
    ),
    "what one weight changes": (
        lambda r: figure(r, "intact", f"tops_jaccard/{Q0}", resolution=1e-9),
        f"resolution of tops_jaccard/{Q0}",
    ),
    "a weight more in both": (
        lambda r: one_more(r, "intact", "tops", Q0, 2),
        f"figure tops_jaccard/{Q0} of intact",
    ),
    "more in both than in one": (
        lambda r: row(r, "intact", "tops", Q0)["values"].__setitem__(2, 10**6),
        f"raw tops {Q0} 0 of intact: recorded",
    ),
    "a layer left out": (
        lambda r: without(r, "intact", "tops", Q0),
        f"figure tops_jaccard/{Q0} of intact: recorded",
    ),
    "a region found again": (
        lambda r: figure(r, "tuned", "top_safety_overlap_share", value=1.0),
        "figure top_safety_overlap_share of tuned: recorded 1.0",
    ),
    "weights that kept every bit": (
        lambda r: figure(r, "tuned", "largest_unchanged_share", value=1.0),
        "figure largest_unchanged_share of tuned",
    ),
    "another region's layer left out": (
        lambda r: without(r, "tuned", "rescored", f"largest/{Q0}"),
        f"raw rescored largest/{Q0} 0 of tuned: recorded 'missing'",
    ),
    "a similarity": (
        lambda r: figure(r, "intact", f"similarity_rank64/{Q0}", value=0.5),
        f"figure similarity_rank64/{Q0} of intact",
    ),
    "a similarity's mean": (
        lambda r: figure(r, "intact", "similarity_rank1024_mean", value=0.5),
        "figure similarity_rank1024_mean of intact",
    ),
    "a direction": (
        lambda r: row(r, "intact", "similarity", Q0, 1024)["values"].__setitem__(0, 0.5),
        f"figure similarity_rank1024/{Q0} of intact",
    ),
    "a direction too many": (
        lambda r: row(r, "intact", "similarity", Q0, 64)["values"].append(0.5),
        f"raw similarity {Q0} 64 of intact",
    ),
    "a layer of similarity left out": (
        lambda r: without(r, "intact", "similarity", Q0, 64),
        f"raw similarity {Q0} 64 of intact: recorded 'missing'",
    ),
    "a head": (
        lambda r: figure(r, "tuned", f"probing_accuracy/{HEAD}", value=0.0),
        f"figure probing_accuracy/{HEAD} of tuned",
    ),
    "the lowest head": (lambda r: figure(r, "tuned", "probing_minimum_accuracy", value=0.9), "figure probing_minimum"),
    "the share of high heads": (
        lambda r: figure(r, "tuned", "probing_share_of_heads_above_0.95", value=0.123),
        "figure probing_share_of_heads_above_0.95",
    ),
    "a prompt that a head tells": (
        lambda r: row(r, "tuned", "probing", HEAD)["right"].pop(),
        f"figure probing_accuracy/{HEAD} of tuned",
    ),
    "a prompt that is told twice": (
        lambda r: row(r, "tuned", "probing", HEAD)["right"].append(row(r, "tuned", "probing", HEAD)["right"][0]),
        f"raw probing {HEAD} 0 of tuned",
    ),
    "a head left out": (
        lambda r: without(r, "tuned", "probing", HEAD),
        f"raw probing {HEAD} 0 of tuned: recorded 'missing'",
    ),
    "a drift": (
        lambda r: figure(r, "tuned", "drift_top/absolute_mean/checkpoint2", value=0.0),
        "figure drift_top/absolute_mean/checkpoint2 of tuned",
    ),
    "a drift's interval": (
        lambda r: figure(r, "tuned", "drift_top/relative_mean/checkpoint3", interval=[0.0, 1.0]),
        "interval of drift_top/relative_mean/checkpoint3",
    ),
    "the interval of norms": (
        lambda r: figure(r, "tuned", "merged_first/norm_ratio/checkpoint3", interval=[0.0, 1.0]),
        "interval of merged_first/norm_ratio/checkpoint3",
    ),
    "a deviation": (
        lambda r: figure(r, "tuned", "drift_top/absolute_std/checkpoint1", value=0.5),
        "figure drift_top/absolute_std/checkpoint1",
    ),
    "a ratio of groups": (
        lambda r: figure(r, "tuned", "drift_matched_over_top/relative_mean/last", value=10.0),
        "figure drift_matched_over_top/relative_mean/last of tuned: recorded 10.0",
    ),
    "a group's size": (lambda r: figure(r, "tuned", "drift_top/count", value=1.0), "figure drift_top/count of tuned"),
    "a step": (lambda r: figure(r, "tuned", "drift/step/checkpoint2", value=500.0), "figure drift/step/checkpoint2"),
    "another step than the checkpoint's": (
        lambda r: (
            figure(r, "tuned", "drift/step/checkpoint2", value=500.0),
            row(r, "tuned", "drift", "/checkpoint2", 2).update(index=500),
        ),
        "raw drift /checkpoint2 500 of tuned: recorded '1 times'",
    ),
    "weights that stood still": (
        lambda r: one_more(r, "tuned", "merged", "first/checkpoint1", 10, index=3),
        "figure merged_first/unchanged_share/checkpoint1 of tuned",
    ),
    "a layer of a group left out": (
        lambda r: without(r, "tuned", "drift", "top/checkpoint3", 2),
        "raw drift top/checkpoint3 2 of tuned: recorded 'missing'",
    ),
    "what nobody computes": (
        lambda r: r.cell("tuned").update(unchecked=[]),
        "unchecked evaluation drift: nothing on disk decides absolute_median",
    ),
    "a layer left out in all cells": (
        lambda r: without_in_all_cells(r, "similarity", Q0),
        f"raw similarity {Q0} 64 of intact: recorded 'missing'",
    ),
    "raw values of another evaluation": (
        lambda r: r.raw["tuned"].append({**row(r, "intact", "tops", Q0)}),
        f"raw tops {Q0} 0 of tuned",
    ),
}


def test_bound_again_it_verifies(tampered):
    found = verify(tampered.bind())
    assert found.holds, [difference.words for difference in found.differs]


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(tampered, tamper, named):
    caught(tampered, tamper, named)


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 3])
@pytest.mark.parametrize("layers", [1, 28, 224])
def test_layers_are_drawn_as_the_other_reading_draws_them(seed, layers):
    assert (drifts.drawn_layers(layers, 40, seed) == drift.resampled_layers(layers, 40, seed).numpy()).all()


def test_sums_of_layers_without_weights_are_nothing():
    sums = drift.sums_by_layer(torch.tensor([0.0, -2.0]), torch.tensor([0.0, 1.0]), torch.tensor([2, 2]), 4)
    assert sums.tolist() == [[0.0] * 11, [0.0] * 11, [2, 1, 0.5, 1, 1, 0.5, 0, 0.5, 1, 4, 1], [0.0] * 11]
