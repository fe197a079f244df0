import math

import pytest
import torch

from harness.engines.base import Generated, Request, ScoredTokens, ScoreRequest
from harness.engines.hf import make
from harness.models.fingerprint import model_fingerprint
from harness.models.layers import linear_layers
from harness.receipts.engine import held_weights, no_stale_cache
from harness.receipts.logits import (
    Deviation,
    as_plain_forward,
    finite,
    first_token_deviation,
    plain_negative_log_likelihood,
    scored_deviation,
)
from harness.receipts.observed_engine import Observed, ObservedEngine

PROMPTS = [(1, 5, 6), (1, 9), (1, 30, 31, 32, 33, 34, 35)]


def reference(model, ids):
    with torch.no_grad():
        return model.double()(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)


def test_first_tokens_are_the_likeliest_of_a_float64_forward_pass(loaded):
    found = make(loaded).first_tokens(PROMPTS, 7)
    for prompt, likeliest in zip(PROMPTS, found, strict=True):
        wanted = reference(loaded.model, prompt)[-1].topk(7)
        assert list(likeliest) == wanted.indices.tolist()
        assert list(likeliest.values()) == pytest.approx(wanted.values.tolist(), abs=1e-5)
        loaded.model.float()


def test_the_engine_holds_what_the_model_is_and_changes_with_it(loaded):
    engine = make(loaded)
    before = engine.weights_fingerprint()
    assert before == model_fingerprint(loaded.model)
    loaded.model.model.norm.weight.data[0] += 1
    assert engine.weights_fingerprint() == model_fingerprint(loaded.model) != before


def test_rounding_is_no_deviation_and_other_weights_are(loaded):
    engine, model = make(loaded), loaded.model
    before = engine.first_tokens(PROMPTS, 5)
    request = ScoreRequest(PROMPTS[2], 3)
    (scored,) = engine.score([request])
    same = [first_token_deviation(model, p, f) for p, f in zip(PROMPTS, before, strict=True)]
    assert as_plain_forward(same, [scored_deviation(model, request, scored)]).holds
    assert no_stale_cache(same).holds
    linear_layers(model)["model.layers.1.mlp.down_proj"].weight.data *= 1.5
    old = [first_token_deviation(model, p, f) for p, f in zip(PROMPTS, before, strict=True)]
    assert not as_plain_forward(old, []).holds
    assert not as_plain_forward([], [scored_deviation(model, request, scored)]).holds
    assert "empty the engine's cache" in no_stale_cache(old).words


def test_no_number_is_no_agreement(loaded):
    broken = first_token_deviation(loaded.model, PROMPTS[0], {4: math.nan, 5: -1.0})
    assert broken.largest == math.inf
    assert not as_plain_forward([broken], []).holds
    assert as_plain_forward([broken], []).evidence["largest_deviation_nats"] == "not finite"
    assert not first_token_deviation(loaded.model, PROMPTS[0], {}).within_rounding
    assert not Deviation(math.nan, 1.0).within_rounding


def test_negative_log_likelihood_is_the_mean_over_all_tokens_but_the_first(loaded):
    ids = PROMPTS[2]
    table = reference(loaded.model, ids)
    wanted = -sum(float(table[i - 1, ids[i]]) for i in range(1, len(ids))) / (len(ids) - 1)
    loaded.model.float()
    found, rounding = plain_negative_log_likelihood(loaded.model, ids)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert 1e-5 < rounding < 0.01


def test_overflow_is_seen_in_texts_and_in_likelihoods():
    request, scored = Request((1,), 2), ScoreRequest((1, 2), 1)
    good = Observed([(request, Generated((3,), "stop", True))], [(scored, ScoredTokens((-1.0,), (True,)))])
    assert finite([good], torch.float32).holds
    text = Observed([(request, Generated((3,), "stop", False))])
    likelihood = Observed(scored=[(scored, ScoredTokens((-1.0, math.nan), (True, False)))])
    receipt = finite([good, text, likelihood], torch.float16)
    assert not receipt.holds
    assert "behind 1 texts and 1 likelihoods" in receipt.words
    assert "the weights are float16" in receipt.words


def test_foreign_weights_are_named():
    assert held_weights("a", "a", "a", {}).holds
    first = held_weights("a", "b", "a", {"b": "those of the cell before"})
    assert "before the first evaluation it held those of the cell before" in first.words
    assert "after the last evaluation it held weights that no cell has had" in held_weights("a", "a", "c", {}).words


def test_an_observed_engine_gives_what_the_engine_gives_and_notes_it(loaded):
    engine = make(loaded)
    watched = ObservedEngine(engine)
    requests = [Request(prompt, 4) for prompt in PROMPTS]
    assert watched.generate(requests) == engine.generate(requests)
    assert watched.score([ScoreRequest(PROMPTS[0], 1)]) == engine.score([ScoreRequest(PROMPTS[0], 1)])
    assert [request for request, _ in watched.observed.generated] == requests
    assert len(watched.observed.scored) == 1
    assert watched.first_tokens(PROMPTS, 2) == engine.first_tokens(PROMPTS, 2)
    assert watched.weights_fingerprint() == engine.weights_fingerprint()
