"""What is taken out of a layer, of a random Llama: factors made by numpy's SVD, and wrong ones."""

import numpy as np
import pytest
import torch

from harness.formulas.subspace import LowRankFactors
from harness.models.layers import linear_layers
from harness.regions import base
from harness.regions._rank_receipts import removed_as_declared
from harness.regions.act_svd import Settings as ActSvdRegion
from harness.regions.orthogonal_projection import Settings as OrthogonalProjectionRegion

TOP = ActSvdRegion(select="act-svd", data="safety", rank=3)
BOTTOM = ActSvdRegion(select="act-svd", data="safety", rank=3, end="bottom")
PROJECTION = OrthogonalProjectionRegion(
    select="orthogonal-projection", safety="safety", utility="utility", utility_rank_removed=4, safety_rank_removed=6
)


@pytest.fixture
def inputs(loaded):
    """X_in (d_in, n) of every layer, for safety and utility."""
    generator = np.random.default_rng(0)
    return [
        {
            name: generator.standard_normal((layer.in_features, 200)) * generator.random((layer.in_features, 1))
            for name, layer in linear_layers(loaded.model).items()
        }
        for _ in range(2)
    ]


def directions(layer, x):
    """All left singular directions of W X_in, by an SVD of the product itself."""
    product = layer.weight.detach().double().numpy() @ x
    return np.linalg.svd(product, full_matrices=False)[0][:, : min(layer.weight.shape)]


def factors_of(projection):
    return LowRankFactors(torch.tensor(projection), torch.eye(len(projection), dtype=torch.float64))


def span(basis):
    return basis @ basis.T


def receipt(loaded, region, inputs, chosen):
    """chosen: from the directions of each data set to the projection that is taken out."""
    layers = linear_layers(loaded.model)
    grams = [{name: torch.tensor(x @ x.T) for name, x in each.items()} for each in inputs]
    found = {
        name: factors_of(chosen(*(directions(layer, each[name]) for each in inputs))) for name, layer in layers.items()
    }
    return removed_as_declared(base.region(region), found, layers, grams)


@pytest.mark.parametrize(
    ("region", "chosen"),
    [
        (TOP, lambda s, u: span(s[:, :3])),
        (BOTTOM, lambda s, u: span(s[:, -3:])),
        (PROJECTION, lambda s, u: span(s[:, :-6]) - span(u[:, :-4]) @ span(s[:, :-6])),
    ],
)
def test_what_the_region_declares_holds(loaded, inputs, region, chosen):
    found = receipt(loaded, region, inputs, chosen)
    assert found.holds, found.words
    assert found.evidence["computed_again"] == 14


@pytest.mark.parametrize(
    ("region", "chosen", "words"),
    [
        (TOP, lambda s, u: span(s[:, -3:]), "the least important ones"),
        (BOTTOM, lambda s, u: span(s[:, :3]), "the most important ones"),
        (TOP, lambda s, u: span(s[:, :4]), "4 rank(s) where 3 are declared"),
        (TOP, lambda s, u: span(s[:, 3:]), "are declared, and so in 14 of 14 layers"),
        (TOP, lambda s, u: span(u[:, :3]), "3 rank(s) where 3 are declared, "),
        (PROJECTION, lambda s, u: span(u[:, :-4]) - span(s[:, :-6]) @ span(u[:, :-4]), "safety and utility swapped"),
        (PROJECTION, lambda s, u: span(s[:, :-6]), "are declared"),
    ],
)
def test_another_part_does_not_hold_and_is_named(loaded, inputs, region, chosen, words):
    found = receipt(loaded, region, inputs, chosen)
    assert not found.holds
    assert words in found.words


def test_a_layer_that_nothing_is_taken_out_of_does_not_hold(loaded, inputs):
    layers = linear_layers(loaded.model)
    grams = [{name: torch.tensor(x @ x.T) for name, x in each.items()} for each in inputs]
    found = removed_as_declared(base.region(TOP), {}, layers, grams)
    assert f"nothing taken out of {len(layers)} layers" in found.words


def test_one_layer_that_loses_fewer_ranks_is_told_wherever_it_is(loaded, inputs):
    layers = linear_layers(loaded.model)
    grams = [{name: torch.tensor(x @ x.T) for name, x in inputs[0].items()}]
    for odd in layers:
        found = {
            name: factors_of(span(directions(layer, inputs[0][name])[:, : 1 if name == odd else 3]))
            for name, layer in layers.items()
        }
        seen = removed_as_declared(base.region(TOP), found, layers, grams)
        assert f"1 rank(s) of {odd} where 3 are declared, and so in 1 of 14 layers" in seen.words
