"""The published algorithms and the harness agree on a tiny model, and the checks of the benchmark can fail."""

import pytest
import torch

from bench import published_algorithms as published
from bench.agreement import DisagreementError, require_equal_scores, require_same_subspace
from bench.contests import SAFETY_RANK, UTILITY_RANK, contests, kept_outputs
from bench.random_llamas import Sizes, random_llama, random_samples
from harness.models.layers import linear_layers
from harness.runs.scoring import one_shot_scores
from harness.spec.region import AttributionSettings

SIZES = Sizes(
    hidden_size=32,
    intermediate_size=48,
    attention_heads=2,
    vocabulary=64,
    samples=5,
    shortest_tokens=8,
    longest_tokens=24,
)


@pytest.fixture(scope="module")
def model():
    return random_llama(2, SIZES)


@pytest.fixture(scope="module")
def samples():
    return random_samples(SIZES, seed=1)


def test_every_contest_ends_in_agreement(model, samples):
    found = contests(model, samples, random_samples(SIZES, seed=2))
    assert [contest.method for contest in found] == [
        "SNIP",
        "Wanda",
        "Wanda, N passes",
        "ActSVD",
        "projection",
    ]
    for contest in found:
        contest.plain_pass(64)
        contest.check(contest.ours(), contest.theirs())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in linear_layers(model).values())


def test_published_directions_become_those_of_the_harness_where_the_svd_is_exact(model, samples):
    theirs = published.act_svd(model, samples, 3, published.exact_directions)
    outputs = kept_outputs(model, samples)
    assert list(theirs) == list(linear_layers(model))
    for name, directions in theirs.items():
        require_same_subspace(name, directions, outputs[name])


def test_the_published_projection_finds_both_bases_on_their_own_data(model, samples):
    utility = random_samples(SIZES, seed=2)
    found = published.orthogonal_projection(
        model, samples, utility, SAFETY_RANK, UTILITY_RANK, published.exact_directions
    )
    safety_outputs, utility_outputs = kept_outputs(model, samples), kept_outputs(model, utility)
    for name, (safety_directions, utility_directions) in found.items():
        assert (safety_directions.shape[1], utility_directions.shape[1]) == (SAFETY_RANK, UTILITY_RANK)
        require_same_subspace(name, safety_directions, safety_outputs[name])
        require_same_subspace(name, utility_directions, utility_outputs[name])


def test_scores_of_one_example_less_are_found_to_disagree(model, samples):
    for method, theirs in (("snip", published.snip), ("wanda", published.wanda)):
        ours = one_shot_scores(model, samples, method, AttributionSettings(), 0)
        with pytest.raises(DisagreementError, match="scores differ"):
            require_equal_scores(ours, theirs(model, samples[1:]))


def test_missing_layers_and_nan_are_no_agreement():
    wanted = torch.arange(40.0).reshape(2, 20)
    require_equal_scores({"layer": wanted.clone()}, {"layer": wanted})
    with pytest.raises(DisagreementError, match="scores of 0 layers"):
        require_equal_scores({}, {"layer": wanted})
    with pytest.raises(DisagreementError, match="scores differ"):
        require_equal_scores({"layer": torch.full((2, 20), torch.nan)}, {"layer": wanted})


def test_a_turned_direction_is_found():
    outputs = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    require_same_subspace("layer", torch.eye(3)[:, :2], outputs)
    with pytest.raises(DisagreementError, match="sine of 1"):
        require_same_subspace("layer", torch.eye(3)[:, ::2], outputs)


def test_directions_that_no_gap_determines_are_not_compared():
    with pytest.raises(DisagreementError, match="too close"):
        require_same_subspace("layer", torch.eye(3)[:, :2], torch.eye(3))
