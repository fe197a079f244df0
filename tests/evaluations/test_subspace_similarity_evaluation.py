from dataclasses import replace

import pytest
import torch

from harness.calibration.pairs import draw, read_pairs, tokenise
from harness.errors import UserError
from harness.evaluations.subspace_similarity import Evaluation, Settings
from harness.low_rank.grams import one_shot_grams
from harness.models.layers import linear_layers
from harness.spec.region import AttributionSettings
from tests.low_rank.conftest import kept_inputs

LAST_UP = "model.layers.1.mlp.up_proj"


def settings(**fields):
    declared = {"kind": "subspace_similarity", "name": "s", "utility": "u", "safety": "v", "ranks": [1, 3]}
    return Settings.model_validate({**declared, **fields})


def values(chosen, context):
    return {m.metric: m for m in Evaluation(chosen).measure(context).measurements}


@pytest.fixture
def samples(loaded, pairs_csv):
    pairs = draw(read_pairs(pairs_csv), 6, seed=0)
    return {name: tokenise(part, loaded.tokenizer, 128) for name, part in (("u", pairs[:4]), ("v", pairs[2:]))}


@pytest.fixture
def context(intact_context, samples):
    def grams(name):
        return one_shot_grams(intact_context.model, samples[name], AttributionSettings())

    return replace(intact_context, grams=grams)


def test_every_layer_has_the_similarity_of_the_singular_vectors_of_kept_activations(context, samples):
    """φ is also the mean squared cosine of the principal angles, from the SVD of W X in float64."""
    found = values(settings(), context)
    kept = {name: kept_inputs(context.model, samples[name]) for name in "uv"}
    layers = linear_layers(context.model)
    for rank in (1, 3):
        expected = {}
        for name, layer in layers.items():
            bases = [torch.linalg.svd(layer.weight.double() @ kept[side][name])[0][:, :rank] for side in "uv"]
            expected[name] = float(torch.linalg.svdvals(bases[0].mT @ bases[1]).square().mean())
            assert found[f"s_rank{rank}/{name}"].value == pytest.approx(expected[name], abs=1e-3)
            assert found[f"s_rank{rank}/{name}"].n == rank
        attention = [value for name, value in expected.items() if "self_attn" in name]
        mean = found[f"s_rank{rank}_mean_attention"]
        assert (mean.value, mean.n) == (pytest.approx(sum(attention) / len(attention), abs=1e-3), 8)
        assert min(expected.values()) < 0.95  # the two sets do not agree by themselves


def test_a_set_is_similar_to_itself_and_to_no_subspace_orthogonal_to_it(intact_context):
    """By hand: W = I on two inputs; utility sees the first more, safety the second more, or the same."""
    model = intact_context.model
    for layer in linear_layers(model).values():
        layer.weight.data = torch.eye(2)
    grams = {
        "one": torch.diag(torch.tensor([4.0, 1.0])),
        "other": torch.diag(torch.tensor([1.0, 4.0])),
        "slanted": torch.tensor([[5.0, 3.0], [3.0, 5.0]]),
    }
    context = replace(intact_context, grams=lambda name: dict.fromkeys(linear_layers(model), grams[name]))
    for safety, at_rank_one in (("one", 1.0), ("other", 0.0), ("slanted", 0.5)):
        found = values(settings(utility="one", safety=safety, ranks=[1, 2]), context)
        assert found["s_rank1_mean"].value == pytest.approx(at_rank_one, abs=1e-12)
        assert found["s_rank2_mean"].value == pytest.approx(1.0)  # all of the directions on both sides


def test_ranks_are_scaled_to_the_directions_of_each_layer(context):
    """k has 16 directions and the others have 32: 8 of 64 are 2 and 4, and never less than one."""
    found = values(settings(ranks=[8, 1], of_directions=64), context)
    assert found["s_rank8/model.layers.0.self_attn.k_proj"].n == 2
    assert found[f"s_rank8/{LAST_UP}"].n == 4
    assert found[f"s_rank1/{LAST_UP}"].n == 1
    plain = values(settings(ranks=[4]), context)
    assert found[f"s_rank8/{LAST_UP}"].value == plain[f"s_rank4/{LAST_UP}"].value


def test_the_papers_rank_is_as_large_a_part_of_another_model():
    chosen = settings(ranks=[64, 100, 256, 1024], of_directions=4096)
    assert [chosen.rank_in_layer(rank, 128) for rank in chosen.ranks] == [2, 3, 8, 32]
    assert [chosen.rank_in_layer(rank, 4096) for rank in chosen.ranks] == [64, 100, 256, 1024]


def test_the_promised_metrics_are_those_that_are_not_of_a_layer(context):
    chosen = settings()
    assert sorted(metric for metric in values(chosen, context) if "/" not in metric) == sorted(chosen.metrics)


def test_a_rank_that_a_layer_does_not_have_names_the_layer(context):
    with pytest.raises(UserError, match=r"ranks go to 17, but model.layers.0.self_attn.k_proj is 16 x 32"):
        Evaluation(settings(ranks=[17])).measure(context)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"ranks": [2, 2]}, "each once"),
        ({"ranks": [9], "of_directions": 8}, "at most of_directions, 8"),
        ({"ranks": []}, "at least 1"),
        ({"ranks": [0]}, "greater than 0"),
    ],
)
def test_ranks_that_cannot_be_are_refused(fields, wanted):
    with pytest.raises(ValueError, match=wanted):
        settings(**fields)


def test_without_grams_the_evaluation_says_so(intact_context):
    with pytest.raises(UserError, match="looks inside the model"):
        Evaluation(settings()).measure(intact_context)
