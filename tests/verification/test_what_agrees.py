"""What agrees and what differs, as it is counted."""

from dataclasses import asdict

import pytest

from harness.validity.classification import calibrate
from harness.verification.findings import Ledger
from harness.verification.limits import _limits
from tests.by_hand import completion


def test_names_of_a_mapping_are_compared_and_not_what_it_holds():
    ledger = Ledger()
    ledger.each_once("judge", "intact", {"own": object()}, ["own"])
    assert (ledger.differs, ledger.agrees["judge"]) == ([], 1)


def test_what_is_there_twice_or_missing_is_named():
    ledger = Ledger()
    ledger.each_once("text", "intact", ["a", "a"], ["a", "b"])
    assert [difference.words for difference in ledger.differs] == [
        "text a of intact: recorded '2 times', recomputed '1 times'",
        "text b of intact: recorded 'missing', recomputed '1 times'",
    ]


@pytest.mark.parametrize("loops", [0, 3, 8, 9, 12])
def test_limits_are_read_a_second_time_however_many_texts_are_degenerate(loops):
    evidence = {"surprise": 1.0, "mean_surprise": 2.0, "repetition": 0.1, "length": 90.0}
    texts = [completion("x").model_copy(update={"evidence": evidence})] * 9
    texts += [completion("x").model_copy(update={"evidence": evidence | {"repetition": 0.9}})] * loops
    assert _limits(texts) == asdict(calibrate(texts))
