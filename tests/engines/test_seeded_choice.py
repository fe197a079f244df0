"""Sampling by inverting the CDF, worked out by hand."""

import math

import torch

from harness.engines import _seeded_choice as seeded_choice

#: Probabilities 0.1, 0.2, 0.3, 0.4.
LOGITS = torch.tensor([[math.log(0.1), math.log(0.2), math.log(0.3), math.log(0.4)]])


def test_the_token_is_that_of_the_random_number():
    for uniform, token in ((0.0, 0), (0.09, 0), (0.11, 1), (0.29, 1), (0.31, 2), (0.59, 2), (0.61, 3), (0.999, 3)):
        assert seeded_choice.choose(LOGITS, torch.tensor([[1.0]]), torch.tensor([[uniform]])).tolist() == [[token]]


def test_temperature_sharpens():
    """At temperature 1/2 the probabilities are 1, 4, 9, 16 of 30: 0.5 lies behind 14 of 30."""
    assert seeded_choice.choose(LOGITS, torch.tensor([[0.5]]), torch.tensor([[0.5]])).tolist() == [[3]]
    assert seeded_choice.choose(LOGITS, torch.tensor([[0.5]]), torch.tensor([[0.45]])).tolist() == [[2]]


def test_only_the_chosen_token_is_left():
    left = seeded_choice.only(torch.tensor([[2]]), LOGITS)
    assert left.tolist() == [[-math.inf, -math.inf, 0.0, -math.inf]]


def test_random_numbers_are_those_of_the_seed():
    first, again, other = (seeded_choice.random_numbers(seed, 5).tolist() for seed in ((1, 2), (1, 2), (1, 3)))
    assert first == again != other
    assert seeded_choice.random_numbers((1, 2), 3).tolist() == first[:3]  # a longer answer begins as a shorter one
