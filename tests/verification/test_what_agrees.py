"""What agrees and what differs, as it is counted."""

from harness.verification.findings import Ledger


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
