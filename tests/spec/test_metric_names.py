"""Claims speak of metrics that are measured, and every metric is measured once."""

import pytest

from harness.errors import UserError
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.metrics import CELL_METRICS

SPEC = """
id: small
title: Small
source: {work: here}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
evaluations:
  - {kind: attack, name: vanilla, dataset: requests, prompts: 10, system_prompt: true, chat_template: true}
  - {kind: attack, name: sampled, dataset: requests, prompts: 10, system_prompt: true, chat_template: true,
     samples: 3, temperature: 1.0}
  - {kind: zero_shot, limit: 5}
  - {kind: probing, harmful: a, harmless: b}
  - kind: overlap
    first: {select: top, method: snip, data: safety, fraction: 0.1}
    second: {select: top, method: snip, data: safety, fraction: 0.1}
  - {kind: subspace_similarity, utility: safety, safety: safety, ranks: [2]}
claims:
  - id: one
    section: "1"
    says: s
    quantifier: all
    cells: [intact]
    conditions:
      - {metric: asr_vanilla, at_least: 0.5}
      - {metric: asr_sampled,
         at_most: {metric: asr_sampled_any, plus: 0.1}}
"""
#: A perplexity under some name, in front of the zero-shot accuracy.
PERPLEXITY = "{{kind: perplexity, dataset: t, window_tokens: 8, name: {}}}\n  - {{kind: zero_shot, "


def load(tmp_path, text):
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml_model(path, BenchmarkSpec)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "metric: asr_vanilla",
            "metric: asr_vanila",
            "spec.yaml:26: claims[0].conditions[0].metric: no evaluation measures 'asr_vanila'; "
            "did you mean 'asr_vanilla'?",
        ),
        ("metric: asr_vanilla", "metric: asr_vanilla_any", "no evaluation measures 'asr_vanilla_any'"),
        (
            "metric: asr_sampled_any",
            "metric: asr_sampled_ayn",
            "spec.yaml:28: claims[0].conditions[1].at_most.metric: no evaluation measures 'asr_sampled_ayn'; "
            "did you mean 'asr_sampled_any'?",
        ),
        ("metric: asr_vanilla", "metric: overlap_jacard/model.layers.0.mlp.up_proj", "no evaluation measures"),
        ("metric: asr_vanilla", "metric: planted_precison", "did you mean 'planted_precision'?"),
    ],
)
def test_a_claim_on_a_metric_that_nobody_measures_is_refused_with_its_line(tmp_path, old, new, wanted):
    with pytest.raises(UserError) as caught:
        load(tmp_path, SPEC.replace(old, new, 1))
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    "metric",
    [
        *CELL_METRICS,
        "accuracy_mean",
        "accuracy_chance",
        "accuracy_boolq",
        "probing_mean_accuracy",
        "probing_accuracy/model.layers.1.self_attn/head.0",
        "overlap_jaccard",
        "overlap_jaccard_mean_mlp",
        "overlap_jaccard/model.layers.0.mlp.up_proj",
        "similarity_rank2_mean_q_proj",
        "similarity_rank2/model.layers.0.mlp.up_proj",
    ],
)
def test_a_claim_may_speak_of_whatever_is_measured(tmp_path, metric):
    (claim,) = load(tmp_path, SPEC.replace("metric: asr_vanilla", f"metric: {metric}")).claims
    assert claim.conditions[0].metric == metric


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "name: vanilla",
            "name: sampled_any",
            "spec.yaml:11: evaluations[1]: sampled measures 'asr_sampled_any', as sampled_any does",
        ),
        (
            "{kind: zero_shot, ",
            PERPLEXITY.format("asr_vanilla"),
            "spec.yaml:13: evaluations[2]: asr_vanilla measures 'asr_vanilla', as vanilla does",
        ),
        (
            "{kind: zero_shot, ",
            PERPLEXITY.format("planted_recall"),
            "spec.yaml:13: evaluations[2]: planted_recall measures 'planted_recall', as every cell with a region does",
        ),
    ],
)
def test_two_evaluations_that_give_one_metric_are_refused(tmp_path, old, new, wanted):
    with pytest.raises(UserError) as caught:
        load(tmp_path, SPEC.replace(old, new, 1))
    assert wanted in str(caught.value)
