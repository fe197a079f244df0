import time

import pytest

from harness.calibration.screening import screen
from harness.errors import UserError

EVALUATED = ["Tell me how to paint a fence red", "Sing of the moon"]
DUPLICATE = "Tell me how to paint a house red"  # 7 of 9 words: Jaccard 7/9
FAR = "Tell me how to bake a large loaf"  # 5 of 11 words


def test_near_duplicates_are_counted_and_left_out_unless_kept():
    found = screen([DUPLICATE, FAR], EVALUATED, keep_near_duplicates=False)
    assert (found.fit, found.near_duplicates, found.repeated) == ((FAR,), (DUPLICATE,), 0)
    kept = screen([DUPLICATE, FAR], EVALUATED, keep_near_duplicates=True)
    assert (kept.fit, kept.near_duplicates) == ((DUPLICATE, FAR), (DUPLICATE,))


def test_the_bound_is_three_fifths_and_belongs_to_the_duplicates():
    """3 of 5 words are shared, then 4 of 7."""
    assert screen(["a b c d"], ["a b c e"], False).near_duplicates == ("a b c d",)
    assert screen(["a b c d x"], ["a b c d y z"], False).near_duplicates == ()


def test_words_have_no_case_and_no_punctuation():
    assert screen(["Sing; of the MOON, now!"], EVALUATED, False).near_duplicates == ("Sing; of the MOON, now!",)


@pytest.mark.parametrize("leak", ["Sing of the moon", " sing  of the Moon"])
def test_a_request_that_is_evaluated_is_an_error_even_where_duplicates_are_kept(leak):
    for keep in (False, True):
        with pytest.raises(UserError, match=r"1 attribution requests are among the evaluation requests, first .*oon"):
            screen([FAR, leak], EVALUATED, keep)


def test_repeated_requests_are_used_once_in_the_place_of_the_first():
    found = screen([FAR, "A new one", FAR.upper(), "a  new one"], EVALUATED, False)
    assert (found.fit, found.repeated) == ((FAR, "A new one"), 2)


def test_a_request_of_many_words_is_taken_apart_once():
    """For each of the evaluated ones it would take minutes."""
    begin = time.process_time()
    long = "word " * 400_000
    assert screen([long], [f"Evaluated {number}" for number in range(300)], False).fit == (long,)
    assert time.process_time() - begin < 20


def test_more_requests_than_can_be_compared_are_told():
    """400,000 with 100 evaluated ones took minutes."""
    with pytest.raises(UserError, match=r"400000 attribution requests .* expected at most 200000 of them"):
        screen(["A request"] * 400_000, EVALUATED * 50, False)
