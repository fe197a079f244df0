from dataclasses import replace

import pytest
import torch

from harness.errors import UserError
from harness.evaluations.rescored_overlap import Evaluation, Settings
from harness.models.layers import linear_layers

Q0, UP1 = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj"
TOP = {"select": "top", "method": "snip", "data": "s", "fraction": 0.1}
BEFORE = {Q0: [0, 1, 2], UP1: [0, 1, 2, 3, 4]}
AFTER = {Q0: [1, 2, 3, 4], UP1: [4, 5]}


def settings(**fields):
    return Settings.model_validate({"kind": "rescored_overlap", "compared": {"top": TOP}, **fields})


def masks(model, places):
    """The weights at these places of the first row of each layer."""
    found = {name: torch.zeros(linear_layers(model)[name].weight.shape, dtype=torch.bool) for name in places}
    for name, columns in places.items():
        found[name][0, columns] = True
    return found


@pytest.fixture
def context(intact_context):
    """Before and after are as above."""
    model = intact_context.model
    return replace(
        intact_context,
        find_masks=lambda region: masks(model, BEFORE),
        masks_anew=lambda regions: [masks(model, AFTER)] * len(regions),
    )


def measured(chosen, context, change=lambda layers: None):
    """The figures by metric, after a change of the weights."""
    prepared = {chosen.name: Evaluation(chosen).prepare(context)}
    change(linear_layers(context.model))
    return {m.metric: m for m in Evaluation(chosen).measure(replace(context, prepared=prepared)).measurements}


def test_the_overlap_is_the_part_of_before_that_is_in_after(context):
    found = measured(settings(), context)
    assert (found["top_overlap_share"].value, found["top_overlap_share"].n) == (pytest.approx(3 / 8), 8)
    assert (found["top_jaccard"].value, found["top_jaccard"].n) == (pytest.approx(3 / 11), 11)
    assert found[f"top_overlap_share/{Q0}"].value == pytest.approx(2 / 3)
    assert found[f"top_jaccard/{UP1}"].value == pytest.approx(1 / 6)
    assert found["top_overlap_share_mean"].value == pytest.approx((2 / 3 + 1 / 5) / 2)


def test_weights_that_kept_every_bit_are_counted_in_the_region_before(context):
    def change(layers):
        layers[UP1].weight.data[0, 3] += 1.0
        layers[UP1].weight.data[0, 5] += 1.0  # not in the region

    share = measured(settings(), context, change)["top_unchanged_share"]
    assert (share.value, share.n) == (pytest.approx(7 / 8), 8)


def test_plus_zero_is_another_weight_than_minus_zero(context):
    weight = linear_layers(context.model)[Q0].weight.data
    weight[0, 0] = 0.0
    one = replace(context, find_masks=lambda region: masks(context.model, {Q0: [0]}))
    share = measured(settings(), one, lambda layers: weight[0, 0].neg_())["top_unchanged_share"]
    assert (share.value, share.n) == (0.0, 1)


def test_every_region_has_metrics_of_its_own(context):
    chosen = settings(compared={"top": TOP, "least": {**TOP, "select": "bottom"}}, measures=["jaccard"])
    found = {metric for metric in measured(chosen, context) if "/" not in metric}
    here = ("q_proj", "up_proj")  # the layer types that these regions have
    assert found == {metric for metric in chosen.metrics if not metric.endswith("_proj") or metric.endswith(here)}
    assert {"top_jaccard", "least_jaccard", "least_unchanged_share"} <= found


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ({"select": "planted"}, "planted"),
        ({"select": "attention-heads", "harmful": "a", "harmless": "b", "fraction": 0.1}, "attention-heads"),
    ],
)
def test_regions_that_no_score_of_the_model_decides_are_refused(region, words):
    with pytest.raises(ValueError, match=words):
        settings(compared={"top": region})


def test_without_a_model_to_score_the_evaluation_says_so(intact_context):
    with pytest.raises(UserError, match="scores the model"):
        Evaluation(settings()).measure(intact_context)
