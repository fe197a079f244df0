import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas.degeneration import (
    mean_negative_log_likelihood,
    repeated_share,
    worst_window_negative_log_likelihood,
)
from harness.validity.classification import LARGEST_REPETITION
from harness.verification.texts import repeated


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


#: By kind: short loops, which have no or few runs of 12 characters.
SHORT_LOOPS = {
    "12 times one emoji": "\N{FIRE}" * 12,
    "13 times one emoji": "\N{FIRE}" * 13,
    "8 times one emoji": "\N{FIRE} " * 8,
    "an emoji that is joined": "\N{FIRE}\N{ZERO WIDTH JOINER}" * 10,
    "an emoji with a selector": "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}" * 6,
    "two emoji by turns": "\N{FIRE}\N{HEAVY BLACK HEART}" * 6,
    "laughter": "ha ha ha ha ha",
    "a word": "no no no no no no",
    "a longer word": "Sorry sorry sorry sorry.",
    "a number": "12 12 12 12 12 12",
    "marks": ".,.,.,.,.,.,",
    "dashes": "- - - - - - - - - -",
    "marks behind a word": "Sure! " + "?" * 20,
    "a loop behind a beginning": "I see. la la la la la la la la la",
}
SHORT_TEXTS = (
    "Paris.",
    "111",
    "No, no, no.",
    "Bora Bora",
    "10000000",
    "It is 4 o'clock, more or less.",
    "abcabc",
    "No.",
)


@pytest.mark.parametrize("text", SHORT_LOOPS.values(), ids=SHORT_LOOPS)
def test_a_short_loop_is_degenerate_on_any_model_for_both_readers(text):
    assert repeated_share(text) > LARGEST_REPETITION
    assert repeated(text) == repeated_share(text)


@pytest.mark.parametrize("text", SHORT_TEXTS)
def test_short_answers_are_no_loops(text):
    assert repeated_share(text) < 0.15
    assert repeated(text) == repeated_share(text)


@given(st.text(alphabet="ab \N{FIRE}1.", max_size=60))
def test_both_readers_see_as_much_said_again(text):
    assert repeated(text) == repeated_share(text)


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
