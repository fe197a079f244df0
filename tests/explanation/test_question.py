"""What a cell was asked to be, in words, whatever its record holds."""

from harness.explanation.question import region_words

SNIP = {"select": "top", "method": "snip", "data": "safety", "fraction": 0.1}
SPEC = {"calibration": {"safety": {"dataset": "safety-full", "samples": 2}}}


def test_a_record_with_settings_that_are_none_here_is_told_by_its_kind():
    assert region_words(SNIP, {**SPEC, "attribution": {"activation_positions": "nowhere"}}) == "the region top"
    assert "snip" in region_words(SNIP, SPEC).lower()
