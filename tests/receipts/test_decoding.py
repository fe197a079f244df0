"""Texts read again: those of a real engine on a random Llama, as they are and put in disorder."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from harness.engines.base import Generated, Request
from harness.engines.hf import make
from harness.receipts.decoding import TextsRead, as_generated, own_prompts, read_again
from harness.receipts.observed_engine import Observed
from tests.by_hand import completion

PROMPTS = [(1, 5, 6), (1, 9), (1, 30, 31, 32, 33, 34, 35), (1, 40, 41), (1, 7, 8, 9)]
NEW = 12
ENDS = frozenset({2})


def settings(temperature=0.0):
    return SimpleNamespace(name="attack", temperature=temperature)


def greedy(loaded):
    requests = [Request(prompt, NEW) for prompt in PROMPTS]
    return Observed(generated=list(zip(requests, make(loaded).generate(requests), strict=True)))


def sampled(loaded, temperature=1.0, seeds=range(6)):
    requests = [
        Request(prompt, NEW, temperature, (place, seed)) for place, prompt in enumerate(PROMPTS) for seed in seeds
    ]
    return Observed(generated=list(zip(requests, make(loaded).generate(requests), strict=True)))


def verdict(loaded, observed, temperature=0.0, cell="intact"):
    return own_prompts([read_again(loaded.model, settings(temperature), observed, ENDS, cell)], torch.float32)


def test_greedy_texts_of_the_engine_are_their_prompts_own(loaded):
    receipt = verdict(loaded, greedy(loaded))
    assert receipt.holds, receipt.words
    assert receipt.evidence["texts"] == 4


def test_texts_in_another_order_and_texts_of_other_weights_are_not(loaded):
    observed = greedy(loaded)
    requests, outputs = zip(*observed.generated, strict=True)
    rotated = Observed(generated=list(zip(requests, [*outputs[1:], outputs[0]], strict=True)))
    assert "tokens that are not the likeliest" in verdict(loaded, rotated).words
    torch.nn.init.normal_(loaded.model.lm_head.weight)
    assert not verdict(loaded, observed).holds


def test_sampled_texts_are_told_from_greedy_ones_and_from_another_temperature(loaded):
    assert verdict(loaded, sampled(loaded), 1.0).holds
    assert "copies of each other" in verdict(loaded, sampled(loaded, 0.0), 1.0).words
    assert "where temperature 1 gives about" in verdict(loaded, sampled(loaded, 0.2), 1.0).words
    assert not verdict(loaded, sampled(loaded, 3.0), 1.0).holds
    assert not verdict(loaded, sampled(loaded), 0.0).holds


def test_every_sampled_token_is_the_one_that_the_seeds_numbers_choose(loaded):
    observed = sampled(loaded)
    receipt = verdict(loaded, observed, 1.0)
    chosen, of = receipt.evidence["attack_by_the_seed"].split(" of ")
    assert chosen == of
    assert int(of) > 50
    for other in (
        [replace(request, seed=(*request.seed, 1)) for request, _ in observed.generated],
        [replace(request, temperature=0.9) for request, _ in observed.generated],
    ):
        outputs = [output for _, output in observed.generated]
        seen = verdict(loaded, Observed(generated=list(zip(other, outputs, strict=True))), 1.0)
        assert "that the seed's random numbers do not choose" in seen.words


def test_over_many_cells_every_prompt_is_read_again(loaded):
    observed = greedy(loaded)
    request, output = observed.generated[2]
    observed.generated[2] = (request, replace(output, token_ids=(*output.token_ids[:-1], 4)))
    assert {verdict(loaded, observed, cell=f"cell-{number}").holds for number in range(12)} == {True, False}


def test_samples_that_are_copies_are_told(loaded):
    observed = sampled(loaded)
    first = {request.prompt_ids: output for request, output in reversed(observed.generated)}
    copied = Observed(generated=[(request, first[request.prompt_ids]) for request, _ in observed.generated])
    assert "samples of 4 prompts are copies" in verdict(loaded, copied, 1.0).words


@pytest.mark.parametrize(("seen", "alarm"), [(60, False), (90, False), (30, True), (120, True)])
def test_a_count_is_an_alarm_only_where_chance_does_not_give_it(seen, alarm):
    part = TextsRead("attack", 1.0, tokens=150, likeliest=seen, expected=75.0, variance=40.0)
    assert own_prompts([part], torch.float32).holds is not alarm


def test_in_16_bits_a_few_second_best_tokens_are_rounding():
    part = TextsRead("attack", 0.0, tokens=200, likeliest=197)
    assert own_prompts([part], torch.bfloat16).holds
    assert not own_prompts([part], torch.float32).holds
    assert not own_prompts([replace(part, likeliest=150)], torch.bfloat16).holds


def test_nothing_and_overflow_are_left_to_other_receipts(loaded):
    request = Request(PROMPTS[0], NEW)
    assert verdict(loaded, Observed(generated=[(request, Generated((), "stop", True))])).holds
    loaded.model.lm_head.weight.data[0] = float("nan")
    assert verdict(loaded, Observed(generated=[(request, Generated((4, 4), "stop", False))])).holds


def generated(tokens, evaluation="attack"):
    return completion(token_ids=tokens, evaluation=evaluation)


def test_completions_are_those_of_the_engine_in_order():
    observed = {
        "attack": Observed(generated=[(Request((1,), 2), Generated(tokens, "stop", True)) for tokens in ((4,), (5,))])
    }
    assert as_generated([generated((4,)), generated((5,))], observed).holds
    assert "2 of 2 texts of attack" in as_generated([generated((5,)), generated((4,))], observed).words
    assert "1 texts of attack where the engine gave 2" in as_generated([generated((4,))], observed).words
    assert not as_generated([generated((4,)), generated((5,), evaluation="other")], observed).holds
