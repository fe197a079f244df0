import pytest

from harness.reports.text import shown_interval, shown_number, shown_words, spelled_out
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\nb"),
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("a\u200bb\u202ec\u2066d\ufeff", "a⟨U+200B⟩b⟨U+202E⟩c⟨U+2066⟩d⟨U+FEFF⟩"),
        ("\u2028\u2029\x85\r\t", "⟨U+2028⟩⟨U+2029⟩⟨U+0085⟩⟨U+000D⟩⟨U+0009⟩"),
        ("\ud800 \U000e0041", "⟨U+D800⟩ ⟨U+E0041⟩"),
        ("\u3164\ufe0f\u2800", "⟨U+3164⟩⟨U+FE0F⟩⟨U+2800⟩"),
        ("naïve 日本 שלום é", "naïve 日本 שלום é"),
    ],
)
def test_characters_that_hide_or_steer_are_spelled_out(text, shown):
    assert spelled_out(text) == shown
    assert spelled_out(shown) == shown


def test_a_measurement_in_a_line_says_that_it_is_invalid():
    measured = Measurement(metric="m", value=0.5, n=9, interval=(0.25, 0.75), valid=False, reason="none")
    assert shown_words("ASR", measured) == "ASR 0.500 [0.250, 0.750] INVALID"
