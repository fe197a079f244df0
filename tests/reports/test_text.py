import pytest

from harness.reports.text import shown_interval, shown_number
from harness.spec.result import Measurement


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
