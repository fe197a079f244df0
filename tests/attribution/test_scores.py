"""Scores against independent float64 implementations of the paper's equations, one example at a time."""

import copy
import weakref

import pytest
import torch

from harness.attribution import base
from harness.calibration.pairs import IGNORED, draw, read_pairs, tokenise
from harness.calibration.stream import BlockStream
from harness.formulas.importance import sum_of_absolute_gradients
from harness.models.layers import block_layers, linear_layers
from harness.runs.scoring import one_shot_scores
from harness.spec.region import AttributionSettings


@pytest.fixture
def samples(loaded, pairs_csv):
    return tokenise(draw(read_pairs(pairs_csv), 6, seed=0), loaded.tokenizer, 128)


def snip_reference(model, samples, reduction, of_example=torch.abs):
    model = copy.deepcopy(model).double().requires_grad_()
    total = dict.fromkeys(linear_layers(model), 0.0)
    for sample in samples:
        model.zero_grad()
        logits = model(input_ids=sample.input_ids[None]).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, sample.labels[1:], ignore_index=IGNORED, reduction="sum")
        count = (sample.labels != IGNORED).sum()
        (losses / count if reduction == "mean" else losses).backward()
        for name, layer in linear_layers(model).items():
            total[name] = total[name] + of_example((layer.weight * layer.weight.grad).detach())
    return {name: score / len(samples) for name, score in total.items()}


def wanda_reference(model, samples, shift):
    model = copy.deepcopy(model).double()
    squares = dict.fromkeys(linear_layers(model), 0.0)
    for sample in samples:
        chosen = sample.labels != IGNORED
        if shift:
            chosen = torch.cat([chosen[1:], torch.zeros(1, dtype=torch.bool)])
        seen = {}
        hooks = [
            layer.register_forward_hook(lambda _m, x, _y, name=name, seen=seen: seen.__setitem__(name, x[0][0]))
            for name, layer in linear_layers(model).items()
        ]
        with torch.no_grad():
            model(input_ids=sample.input_ids[None])
        for hook in hooks:
            hook.remove()
        for name in squares:
            squares[name] = squares[name] + (seen[name][chosen] ** 2).sum(0)
    return {name: layer.weight.abs().detach() * squares[name].sqrt() for name, layer in linear_layers(model).items()}


def test_snip_keeps_the_gradients_of_one_layer_at_a_time(loaded, samples, monkeypatch):
    """Seen by weak references: when a layer's sum is asked for, those of all layers before it are gone."""
    alive_at_once, sums = [], []

    def watched(gradients, inputs):
        alive_at_once.append(sum(reference() is not None for reference in sums))
        total = sum_of_absolute_gradients(gradients, inputs)
        sums.append(weakref.ref(total))
        return total

    monkeypatch.setattr("harness.attribution.snip.sum_of_absolute_gradients", watched)
    scores = one_shot_scores(loaded.model, samples, "snip", AttributionSettings(), 0)
    assert len(sums) >= len(scores) and max(alive_at_once) == 0
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_snip_equals_the_equation_in_float64(loaded, samples, reduction):
    found = one_shot_scores(loaded.model, samples, "snip", AttributionSettings(loss_reduction=reduction), 0)
    wanted = snip_reference(loaded.model, samples, reduction)
    assert list(found) == list(wanted)
    for name, score in wanted.items():
        torch.testing.assert_close(found[name].double(), score, rtol=1e-4, atol=1e-5 * float(score.max()))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_signed_snip_equals_the_equation_in_float64(loaded, samples, reduction):
    found = one_shot_scores(loaded.model, samples, "signed-snip", AttributionSettings(loss_reduction=reduction), 0)
    for name, score in snip_reference(loaded.model, samples, reduction, lambda example: example).items():
        assert 0.2 < float((score < 0).double().mean()) < 0.8
        torch.testing.assert_close(found[name].double(), score, rtol=1e-4, atol=1e-5 * float(score.abs().max()))


def test_the_sign_of_signed_snip_is_that_of_what_a_removal_does_to_the_loss(loaded, samples):
    """Without the least scores the loss rises, without the largest it falls, by about the sum of the scores."""
    scores = one_shot_scores(loaded.model, samples, "signed-snip", AttributionSettings(), 0)
    name = "model.layers.1.mlp.down_proj"
    weight, score = linear_layers(loaded.model)[name].weight.data, scores[name]
    before = mean_loss(loaded.model, samples)
    for chosen in (score <= score.flatten().kthvalue(20).values, score >= score.flatten().topk(20).values[-1]):
        kept = weight.clone()
        weight[chosen] *= 0.9  # a small part of a removal, so that the first order is all there is to see
        change = mean_loss(loaded.model, samples) - before
        weight.copy_(kept)
        assert change == pytest.approx(-0.1 * float(score[chosen].double().sum()), rel=0.1)
    assert float(score.min()) < 0 < float(score.max())


def mean_loss(model, samples):
    model, losses = copy.deepcopy(model).double(), []
    for sample in samples:
        logits = model(input_ids=sample.input_ids[None]).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, sample.labels[1:], ignore_index=IGNORED))
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize(("positions", "shift"), [("response", False), ("predicting", True)])
def test_wanda_equals_the_equation_in_float64(loaded, samples, positions, shift):
    found = one_shot_scores(loaded.model, samples, "wanda", AttributionSettings(activation_positions=positions), 0)
    for name, score in wanda_reference(loaded.model, samples, shift).items():
        torch.testing.assert_close(found[name].double(), score, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["snip", "signed_snip", "wanda"])
def test_a_stream_that_starts_at_a_later_block_gives_that_blocks_scores(loaded, samples, method):
    settings = AttributionSettings()
    whole = one_shot_scores(loaded.model, samples, method, settings, 0)
    stream = BlockStream(loaded.model, samples)
    stream.advance()
    layers = block_layers(loaded.model, 1)
    for name, score in base.method(method).score(stream, layers, settings, 0).items():
        torch.testing.assert_close(score, whole[name], rtol=1e-4, atol=1e-7)


def test_batching_does_not_change_scores(loaded, samples):
    snip = base.method("snip")
    layers, settings = linear_layers(loaded.model), AttributionSettings()
    alone = snip.score(BlockStream(loaded.model, samples, batch_tokens=1), layers, settings, 0)
    together = snip.score(BlockStream(loaded.model, samples), layers, settings, 0)
    for name in alone:
        torch.testing.assert_close(alone[name], together[name], rtol=1e-4, atol=1e-7)


def test_scoring_leaves_no_gradient_and_no_hook(loaded, samples):
    one_shot_scores(loaded.model, samples, "snip", AttributionSettings(), 0)
    assert all(p.grad is None and not p.requires_grad for p in loaded.model.parameters())
    assert not any(layer._forward_hooks for layer in linear_layers(loaded.model).values())


def test_random_scores_depend_on_the_seed_alone(loaded):
    first, again, other = (one_shot_scores(loaded.model, [], "random", AttributionSettings(), s) for s in (3, 3, 4))
    name = next(iter(first))
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_nan_weights_give_an_error_and_no_mask(loaded, samples):
    from harness.errors import UserError

    next(iter(linear_layers(loaded.model).values())).weight.data[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        one_shot_scores(loaded.model, samples, "wanda", AttributionSettings(), 0)
