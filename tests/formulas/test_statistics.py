import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.formulas.comparison import within_tolerance
from harness.formulas.statistics import (
    binomial_tolerance,
    clustered_proportion,
    difference_interval,
    mean_of_estimates,
    proportion,
    spread_over_repetitions,
)


def test_wilson_interval_of_nothing_in_a_hundred():
    low, high = proportion(0, 100).interval
    assert low == 0.0
    assert high == pytest.approx(0.0370, abs=1e-4)


def test_a_proportion_of_nothing_is_an_error_and_not_zero():
    with pytest.raises(ValueError, match="undefined"):
        proportion(0, 0)


def test_samples_of_one_prompt_that_agree_count_as_one():
    agreeing = clustered_proportion([[True] * 5] * 20 + [[False] * 5] * 20)
    assert agreeing.value == 0.5
    assert agreeing.interval == pytest.approx(proportion(20, 40).interval, abs=0.005)


def test_independent_samples_narrow_the_interval():
    mixed = clustered_proportion([[True, False]] * 20)
    assert mixed.interval == pytest.approx(proportion(20, 40).interval)


def test_mean_of_estimates_adds_errors_in_quadrature():
    one = proportion(50, 100)
    assert mean_of_estimates([one, one]).standard_error == pytest.approx(one.standard_error / math.sqrt(2))


def test_difference_interval_covers_zero_for_equal_shares():
    one = proportion(50, 100)
    low, high = difference_interval(one.value, one.interval, one.value, one.interval)
    assert low < 0 < high


@given(share=st.floats(0, 1), n=st.integers(1, 1000))
def test_a_binomial_tolerance_is_never_zero(share, n):
    assert 0 < binomial_tolerance(share, n) < 1


@pytest.mark.parametrize(
    ("measured", "inside"),
    [
        (0.95, True),
        (0.90, True),
        (1.0, True),
        (0.8999, False),
        (1.0001, False),
        (math.nan, False),
        (None, False),
        (math.inf, False),
    ],
)
def test_tolerance_is_two_sided_unrounded_and_refuses_no_number(measured, inside):
    assert within_tolerance(measured, 0.95, 0.05) is inside


def test_the_spread_of_seeds_is_their_mean_and_sample_deviation():
    spread = spread_over_repetitions([0.2, 0.4, 0.9])  # deviations -0.3, -0.1, 0.4: 0.26 / 2
    assert spread.mean == pytest.approx(0.5)
    assert spread.standard_deviation == pytest.approx(math.sqrt(0.13))
    assert spread.n == 3


def test_one_repetition_has_no_deviation_and_none_has_no_mean():
    assert spread_over_repetitions([0.25]).standard_deviation is None
    with pytest.raises(ValueError, match="undefined"):
        spread_over_repetitions([])
