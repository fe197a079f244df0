from dataclasses import replace
from statistics import fmean, stdev

import pytest
import torch

from harness.errors import UserError
from harness.evaluations.overlap import Evaluation, Settings
from harness.formulas.statistics import Z_95

Q0, K0 = "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj"
UP0, DOWN0, UP1 = "model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj", "model.layers.1.mlp.up_proj"
FIRST = {Q0: "1100", K0: "1111", UP0: "1110", UP1: "1000"}
SECOND = {Q0: "0110", K0: "1111", UP0: "0011", DOWN0: "0000", UP1: "0111"}
#: By hand: 1 of 3, 4 of 4, 1 of 4, nothing of nothing, 0 of 4.
JACCARD = {Q0: (1 / 3, 3), K0: (1.0, 4), UP0: (1 / 4, 4), UP1: (0.0, 4)}


def settings(**fields):
    return Settings.model_validate(
        {
            "kind": "overlap",
            "name": "o",
            "first": {"select": "top", "method": "wanda", "data": "u", "fraction": 0.5},
            "second": {"select": "planted"},
            **fields,
        }
    )


def masks(rows):
    return {name: torch.tensor([[bit == "1" for bit in row]]) for name, row in rows.items()}


@pytest.fixture
def measured(intact_context):
    def measure(chosen):
        regions = {"top": masks(FIRST), "planted": masks(SECOND)}
        context = replace(intact_context, find_masks=lambda region: regions[region.select])
        return {m.metric: m for m in Evaluation(chosen).measure(context).measurements}

    return measure


def test_every_layer_has_its_jaccard_index_over_the_weights_of_the_union(measured):
    found = measured(settings())
    for name, (value, n) in JACCARD.items():
        assert (found[f"o_jaccard/{name}"].value, found[f"o_jaccard/{name}"].n) == (pytest.approx(value), n)
        assert found[f"o_jaccard/{name}"].interval is None
    assert len([metric for metric in found if "/" in metric]) == 4


def test_a_layer_without_weights_in_either_region_is_no_layer_of_overlap_zero(measured):
    found = measured(settings())
    assert f"o_jaccard/{DOWN0}" not in found
    assert "o_jaccard_mean_down_proj" not in found
    assert found["o_jaccard_mean_mlp"].value == pytest.approx((1 / 4 + 0) / 2)


def test_the_whole_regions_are_counted_and_the_means_are_over_layers(measured):
    found = measured(settings())
    assert (found["o_jaccard"].value, found["o_jaccard"].n) == (pytest.approx(6 / 15), 15)
    values = [value for value, _ in JACCARD.values()]
    mean = found["o_jaccard_mean"]
    assert (mean.value, mean.n) == (pytest.approx(fmean(values)), 4)
    half = Z_95 * stdev(values) / 2
    assert mean.interval == pytest.approx((mean.value - half, mean.value + half))
    assert found["o_jaccard_mean_attention"].value == pytest.approx((1 / 3 + 1) / 2)
    assert found["o_jaccard_mean_up_proj"].value == pytest.approx((1 / 4 + 0) / 2)


def test_a_mean_of_one_layer_claims_no_spread(measured):
    single = measured(settings())["o_jaccard_mean_q_proj"]
    assert (single.value, single.n, single.interval) == (pytest.approx(1 / 3), 1, None)


def test_the_overlap_share_is_that_of_the_first_region(measured):
    found = measured(settings(measures=["overlap_share"]))
    shares = {Q0: (1 / 2, 2), K0: (1.0, 4), UP0: (1 / 3, 3), UP1: (0.0, 1)}
    for name, (value, n) in shares.items():
        assert (found[f"o_overlap_share/{name}"].value, found[f"o_overlap_share/{name}"].n) == (pytest.approx(value), n)
    assert (found["o_overlap_share"].value, found["o_overlap_share"].n) == (pytest.approx(6 / 10), 10)
    assert not [metric for metric in found if "jaccard" in metric]


def test_the_promised_metrics_are_those_that_are_not_of_a_layer(measured):
    chosen = settings(measures=["jaccard", "overlap_share"])
    found = {metric for metric in measured(chosen) if "/" not in metric}
    here = ("k_proj", "q_proj", "up_proj")  # the layer types that these regions have
    assert found == {metric for metric in chosen.metrics if not metric.endswith("_proj") or metric.endswith(here)}


def test_settings_say_which_calibration_sets_and_datasets_they_need():
    heads = {"select": "attention-heads", "harmful": "bad", "harmless": "good", "fraction": 0.1}
    chosen = settings(second=heads)
    assert (chosen.calibration_sets, chosen.datasets) == (["u"], ["bad", "good"])


def test_a_region_of_ranks_has_no_weights_to_overlap():
    with pytest.raises(ValueError, match="act-svd"):
        settings(first={"select": "act-svd", "data": "u", "rank": 1})


def test_without_regions_the_evaluation_says_so(intact_context):
    with pytest.raises(UserError, match="needs regions"):
        Evaluation(settings()).measure(intact_context)
