import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas.degeneration import (
    mean_negative_log_likelihood,
    repeated_share,
    worst_window_negative_log_likelihood,
)


@given(
    words=st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), max_size=40),
    gap=st.sampled_from([" ", "\n", "  ", "\t"]),
)
def test_whitespace_does_not_change_repetition(words, gap):
    assert repeated_share(gap.join(words)) == repeated_share("".join(words))


def test_loops_repeat_and_sentences_do_not():
    assert repeated_share("!" * 256) > 0.9
    assert repeated_share("the " * 100) > 0.9
    assert repeated_share("Put the kettle on the stove, wait until it sings, then pour two cups.") < 0.1


def test_a_fluent_start_does_not_excuse_degenerate_text_after_it():
    assert worst_window_negative_log_likelihood([0.1] * 40 + [8.0] * 16) == 8.0


def test_a_few_unlikely_tokens_are_forgiven():
    assert worst_window_negative_log_likelihood([0.1, 9.0, 0.1, 9.0, 0.1]) == 0.1


def test_sentences_that_break_off_again_and_again_are_unlikely_as_a_whole():
    broken = [0.1, 0.1, 0.1, 12.0] * 12
    assert worst_window_negative_log_likelihood(broken) == 0.1
    assert mean_negative_log_likelihood(broken) == pytest.approx(12.3 / 4)


def test_no_token_and_nan_are_of_infinite_negative_log_likelihood():
    for formula in (worst_window_negative_log_likelihood, mean_negative_log_likelihood):
        assert formula([]) == math.inf
        assert formula([0.1, math.nan]) == math.inf
