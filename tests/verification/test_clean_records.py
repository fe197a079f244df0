"""A record that nobody touched verifies, and so it does when it is bound together again."""

import pytest

from harness.spec.golden import GoldenFile
from harness.verification.findings import Ledger
from harness.verification.golden import check_installed
from harness.verification.reader import verify
from tests.verification import (
    test_raw_values,
    test_tampered_figures,
    test_tampered_outcomes,
    test_tampered_receipts,
    test_tampered_texts,
)

GOLDEN = {
    "variant": "v",
    "benchmark": "b",
    "source": {"record": "v/b/1", "reason": "r"},
    "values": [{"cell": "c", "metric": "m", "value": 0.5, "tolerance": {"width": 0.1, "basis": "binomial"}}],
    "claims": {"x": "supported"},
}


def test_a_clean_record_verifies_also_when_it_is_bound_again(read_twice, copied):
    record, folder, _ = read_twice
    found = verify(folder)
    assert record.verdict.status == "passed", record.verdict.reasons
    assert found.holds, [difference.words for difference in found.differs]
    assert found.agrees["figure"] > 40
    texts = [*copied.texts.values(), *copied.canaries.values()]
    assert found.agrees["class"] == sum(map(len, texts)) > 150
    assert verify(copied.bind()).holds


def test_so_many_ways_to_tamper_are_tried():
    modules = (test_tampered_figures, test_tampered_texts, test_tampered_outcomes, test_tampered_receipts)
    tried = (*modules, test_raw_values)
    assert sum(len(each.TAMPERED) for each in tried) >= 170


def differing(installed, bound=True):
    ledger = Ledger()
    check_installed(GoldenFile.model_validate(GOLDEN), GoldenFile.model_validate(installed), bound, ledger)
    return [difference.words for difference in ledger.differs]


def test_golden_values_of_a_run_are_those_that_are_installed_from_the_same_source():
    value = GOLDEN["values"][0]
    assert differing(GOLDEN) == []
    edited = [{**value, "value": 0.25}]
    value_words, claim_words = differing({**GOLDEN, "values": edited, "claims": {"x": "contradicted"}})
    assert "golden value of m of c: recorded 0.5, recomputed 0.25 (difference 0.25)" in value_words
    assert "golden x of claims: recorded 'supported', recomputed 'contradicted'" in claim_words
    assert differing({**GOLDEN, "source": {"record": "v/b/2", "reason": "since"}, "values": edited}) == []


@pytest.mark.parametrize(("bound", "named"), [(True, "golden/v/b.yaml has another"), (False, "the record was changed")])
def test_of_golden_values_that_differ_it_is_said_which_were_edited(bound, named):
    (words,) = differing({**GOLDEN, "values": [{**GOLDEN["values"][0], "value": 0.25}]}, bound)
    assert named in words
