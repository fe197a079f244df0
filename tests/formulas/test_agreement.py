"""Kappa, McNemar's p and the Rogan-Gladen estimate, by hand and by simulation."""

import random

import pytest

from harness.formulas.agreement import cohens_kappa, mcnemar_p, rogan_gladen
from harness.formulas.statistics import proportion
from harness.verification import agreements


def test_kappa_is_agreement_beyond_chance():
    assert cohens_kappa(20, 5, 10, 15) == pytest.approx(0.4)  # the example of Cohen's statistic in textbooks
    assert cohens_kappa(5, 0, 0, 5) == 1
    assert cohens_kappa(0, 5, 5, 0) == -1
    assert cohens_kappa(25, 25, 25, 25) == 0
    assert cohens_kappa(10, 0, 0, 0) is None
    assert cohens_kappa(0, 0, 0, 0) is None
    assert cohens_kappa(0, 10, 0, 0) == 0


def test_mcnemar_is_the_exact_binomial_test_of_the_texts_that_part():
    assert mcnemar_p(0, 0) == mcnemar_p(3, 3) == 1
    assert mcnemar_p(0, 5) == mcnemar_p(5, 0) == pytest.approx(2 / 32)
    assert mcnemar_p(1, 9) == pytest.approx(2 * (1 + 10) / 1024)


def test_the_corrected_rate_undoes_known_errors():
    rate = proportion(60, 100)
    value, (low, high) = rogan_gladen(rate.value, rate.interval, (90, 100), (80, 100))
    assert value == pytest.approx((0.6 + 0.8 - 1) / (0.9 + 0.8 - 1))
    assert low < value < high
    _, (lower, higher) = rogan_gladen(rate.value, rate.interval, (9, 10), (8, 10))
    assert lower < low < high < higher  # what was seen of fewer known texts is known less well
    assert rogan_gladen(0.5, (0.4, 0.6), (1, 2), (1, 2)) is None
    assert rogan_gladen(0.0, (0.0, 0.1), (6, 6), (20, 22))[0] == 0
    assert rogan_gladen(1.0, (0.9, 1.0), (5, 6), (22, 22))[0] == 1


@pytest.mark.parametrize(("share", "sensitivity", "specificity"), [(0.1, 0.9, 0.9), (0.5, 0.8, 0.95), (0.9, 0.95, 0.7)])
def test_its_interval_holds_the_truth_in_95_of_100(share, sensitivity, specificity):
    draw = random.Random(0)
    rounds, inside = 1000, 0
    for _ in range(rounds):
        found = sum(draw.random() < sensitivity for _ in range(30))
        spared = sum(draw.random() < specificity for _ in range(60))
        called = sum(draw.random() < (sensitivity if draw.random() < share else 1 - specificity) for _ in range(100))
        rate = proportion(called, 100)
        corrected = rogan_gladen(rate.value, rate.interval, (found, 30), (spared, 60))
        inside += corrected is not None and corrected[1][0] <= share <= corrected[1][1]
    assert inside / rounds > 0.93


def test_the_second_reader_comes_to_the_same_by_other_formulas():
    draw = random.Random(1)
    for _ in range(300):
        told = [(draw.random() < 0.5, draw.random() < 0.3) for _ in range(draw.randrange(1, 30))]
        counts = [told.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        one, other = cohens_kappa(*counts), agreements._kappa(told)
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other)
        known = (draw.randrange(7), 6), (draw.randrange(23), 22)
        known = (min(known[0][0], 6), 6), known[1]
        rate = proportion(draw.randrange(21), 20)
        first, second = (
            rogan_gladen(rate.value, rate.interval, *known),
            agreements._rate(rate.value, rate.interval, known),
        )
        assert (first is None) == (second is None)
        if first is not None:
            assert first[0] == pytest.approx(second[0])
            assert first[1] == pytest.approx(second[1])
