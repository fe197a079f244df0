import pytest

from harness.reports.text import shown_interval, shown_number, shown_words
from harness.spec.measurement import Measurement


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.97, "0.970"),
        (0.0, "0.000"),
        (0.0016, "0.002"),
        (5.39e-05, "5.4e-05"),
        (-0.00071, "-7.1e-04"),
        (15.4, "15.400"),
    ],
)
def test_a_small_figure_is_not_shown_as_zero(value, shown):
    measured = Measurement(metric="m", value=value, n=9, interval=(value, value))
    assert shown_number(measured) == shown
    assert shown_interval(measured) == f"[{shown}, {shown}]"


def test_a_measurement_in_a_line_says_that_it_is_invalid():
    measured = Measurement(metric="m", value=0.5, n=9, interval=(0.25, 0.75), valid=False, reason="none")
    assert shown_words("ASR", measured) == "ASR 0.500 [0.250, 0.750] INVALID"
