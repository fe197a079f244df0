"""Receipts of scores: the plain definition on a random Llama, in float64, and departures from it."""

import pytest
import torch
from torch.nn import functional

from harness.attribution.base import method
from harness.calibration.pairs import draw, read_pairs, tokenise
from harness.calibration.plain_block import PlainBlock, plain_block
from harness.low_rank.grams import one_shot_grams
from harness.models.layers import block_layers
from harness.receipts.data import Draw, Tokens, read_plainly
from harness.receipts.plain_grams import plain_grams
from harness.receipts.scores import (
    ScoresInUse,
    as_defined,
    departure,
    not_negative,
    not_one_shot,
    of_a_subsample,
    of_every_block,
    on_bfloat16_grid,
    ranked_as_asked,
    signs_as_defined,
)
from harness.runs.scoring import one_shot_scores
from harness.spec.region import AttributionSettings

BLOCK = 1


@pytest.fixture
def plain(loaded, pairs_csv):
    return read_plainly("s", "pairs", pairs_csv, Draw(6, 0, 0), Tokens(loaded.tokenizer, (1,), 128))


@pytest.fixture
def samples(loaded, pairs_csv):
    return tokenise(draw(read_pairs(pairs_csv), 6, 0), loaded.tokenizer, 128)


def snip_in_float64(model, plain, reduction):
    """One sample after another through a copy of the whole model in float64."""
    model = model.double()
    layers = block_layers(model, BLOCK)
    weights = [layer.weight.requires_grad_(True) for layer in layers.values()]
    totals = [torch.zeros_like(weight) for weight in weights]
    for ids, labels in plain.sequences:
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
        loss = functional.cross_entropy(logits, torch.tensor(labels)[1:], reduction=reduction)
        for total, gradient in zip(totals, torch.autograd.grad(loss, weights), strict=True):
            total += gradient.abs()
    return {
        name: (layer.weight.abs() * total / len(plain.sequences)).detach()
        for (name, layer), total in zip(layers.items(), totals, strict=True)
    }


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_plain_snip_is_the_definition(loaded, plain, reduction):
    settings = AttributionSettings(loss_reduction=reduction)
    found = method("snip").plain_score(plain_block(loaded.model, BLOCK, plain.sequences), settings, 0)
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert departure(found, snip_in_float64(loaded.model, plain, reduction)) < 1e-5


@pytest.mark.parametrize("name", ["snip", "signed_snip", "wanda", "magnitude", "random"])
@pytest.mark.parametrize("positions", ["response", "predicting"])
def test_the_scores_in_use_agree_with_the_plain_ones(loaded, plain, samples, name, positions):
    settings = AttributionSettings(activation_positions=positions)
    in_use = one_shot_scores(loaded.model, samples, name, settings, 5)
    for index in (0, 1):
        block = plain_block(loaded.model, index, plain.sequences)
        assert departure(in_use, method(name).plain_score(block, settings, 5)) < 1e-5


def test_the_grams_in_use_agree_with_the_plain_ones(loaded, plain, samples):
    in_use = one_shot_grams(loaded.model, samples, AttributionSettings())
    block = plain_block(loaded.model, BLOCK, plain.sequences)
    assert departure(in_use, plain_grams(block, AttributionSettings())) < 1e-5


def test_mistakes_of_signed_scores_are_named(loaded, plain, samples):
    block, own = plain_block(loaded.model, BLOCK, plain.sequences), method("signed_snip")
    settings = AttributionSettings()
    right = own.plain_score(block, settings, 0)
    mistakes = own.mistakes(block, settings, 0)
    reduced = one_shot_scores(loaded.model, samples, "signed_snip", AttributionSettings(loss_reduction="sum"), 0)
    for scores, words in (
        ({name: score.abs() for name, score in right.items()}, "the absolute value of the mean was taken"),
        (reduced, "the loss was reduced in the other way"),
    ):
        receipt = as_defined([ScoresInUse("data", "signed_snip on s", scores, right, mistakes)], "block 2", False)
        assert words in receipt.words


def test_random_scores_of_another_seed_are_no_scores_of_this_one(loaded, samples):
    in_use = one_shot_scores(loaded.model, samples, "random", AttributionSettings(), 5)
    plain = method("random").plain_score(PlainBlock(loaded.model, BLOCK), AttributionSettings(), 6)
    assert departure(in_use, plain) > 0.1


def signed(*scores):
    return [ScoresInUse("data", "signed", {"q": torch.tensor([scores])}, {"q": torch.tensor([[3.0, -2.0, 1.0]])}, {})]


def test_the_sign_of_signed_scores_is_checked_both_ways():
    assert signs_as_defined(signed(3.0, -2.0, 1.0)).holds
    assert signs_as_defined(signed(3.0, -2.0, 1.0)).evidence["data_negative"] == 1
    assert "the sign was flipped" in signs_as_defined(signed(-3.0, 2.0, -1.0)).words
    assert "an absolute value was taken" in signs_as_defined(signed(3.0, 2.0, 1.0)).words
    assert signs_as_defined([]) is None


SCORES = {"q": torch.rand(32, 32, generator=torch.Generator().manual_seed(0)) + 0.01}
WEIGHTS = {"q": torch.rand(32, 32, generator=torch.Generator().manual_seed(1)) + 0.01}


def in_use(scores, **mistakes):
    return ScoresInUse(
        "data", "snip on s", scores, SCORES, {words: lambda s=s: s for words, s in mistakes.items()}, WEIGHTS, 32
    )


def test_rounding_is_no_departure_and_one_percent_is():
    noise = 1 + 1e-6 * torch.randn(32, 32, generator=torch.Generator().manual_seed(2))
    assert as_defined([in_use({"q": SCORES["q"] * noise})], "block 1", sixteen_bit=False).holds
    one_percent = 1 + 0.01 * (noise - 1) / 1e-6
    assert not as_defined([in_use({"q": SCORES["q"] * one_percent})], "block 1", sixteen_bit=False).holds


@pytest.mark.parametrize("scores", [{}, {"q": SCORES["q"][:16]}, {"q": SCORES["q"] * float("nan")}])
def test_missing_scores_scores_of_another_shape_and_nan_do_not_hold(scores):
    assert not as_defined([in_use(scores)], "block 1", sixteen_bit=False).holds


def test_the_mistake_that_fits_is_named():
    other = {"q": SCORES["q"].flip(0)}
    found = as_defined(
        [in_use(other, negated={"q": -SCORES["q"]}, upside={"q": SCORES["q"].flip(0)})], "block 1", False
    )
    assert "upside" in found.words
    assert "no known mistake" in as_defined([in_use({"q": SCORES["q"].flip(1)})], "block 1", False).words


@pytest.mark.parametrize("sixteen_bit", [True, False])
def test_sums_in_bfloat16_are_told_whatever_the_model_computes_in(sixteen_bit):
    sums = (SCORES["q"] / WEIGHTS["q"] * 32).bfloat16().float()
    part = in_use({"q": WEIGHTS["q"] * sums / 32})
    assert on_bfloat16_grid(part)
    assert not on_bfloat16_grid(in_use(SCORES))
    assert "bfloat16" in as_defined([part], "block 1", sixteen_bit).words


def test_a_block_with_the_scores_of_the_intact_model_was_not_scored_behind_edited_ones():
    assert not not_one_shot([in_use(SCORES)], "block 2").holds
    assert not_one_shot([in_use({"q": SCORES["q"] * 1.01})], "block 2").holds


def test_importance_is_never_negative():
    assert not_negative({"data": SCORES}).holds
    assert "1024 negative" in not_negative({"data": {"q": -SCORES["q"]}}).words


def test_selected_weights_stand_as_high_on_safety_as_on_utility_data():
    safety, utility = torch.tensor([[4.0, 3, 2, 1]]), torch.tensor([[1.0, 2, 3, 4]])
    mask = {"q": torch.tensor([[True, False, False, False]])}
    right = ranked_as_asked(mask, {"safety": {"q": safety}, "utility": {"q": utility}}, True, False)
    assert (right.holds, right.evidence) == (True, {"safety_place": 1.0, "utility_place": 0.0})
    assert not ranked_as_asked(mask, {"safety": {"q": utility}, "utility": {"q": safety}}, True, False).holds
    assert ranked_as_asked(mask, {"data": {"q": safety}}, True, False).holds
    assert not ranked_as_asked(mask, {"data": {"q": safety}}, True, True).holds
    assert ranked_as_asked({"q": mask["q"] & False}, {"data": {"q": safety}}, True, False) is None


def test_scores_of_every_block_are_told_from_none_and_from_those_of_another():
    generator = torch.Generator().manual_seed(0)
    few = torch.rand(8, 64, generator=generator)
    alike, other = few + 0.1 * torch.rand(8, 64, generator=generator), torch.rand(8, 64, generator=generator)
    own = of_a_subsample("a", "data", alike, few)
    assert of_every_block([[own], [own]], 0.4).holds
    for wrong in (torch.zeros(8, 64), other, 1 / few, few.mT):
        receipt = of_every_block([[own], [of_a_subsample("b", "safety", wrong, alike)]], 0.4)
        assert not receipt.holds
        assert "layers they do not, first block 2 of 2, b (as safety)" in receipt.words
