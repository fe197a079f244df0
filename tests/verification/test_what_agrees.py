"""What agrees and what differs, as it is counted."""

from dataclasses import asdict

import pytest

from harness.spec.manifest import OWN_TEXTS
from harness.validity.classification import calibrate
from harness.verification.findings import Difference, Ledger
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
        "private-completions/intact.jsonl.gz: text a of intact: recorded '2 times', recomputed '1 times'",
        "private-completions/intact.jsonl.gz: text b of intact: recorded 'missing', recomputed '1 times'",
    ]


@pytest.mark.parametrize(
    ("kind", "cell", "name", "file"),
    [
        ("figure", "planted", "perplexity", "record.json"),
        ("class", "planted", "vanilla: prompt 0", "private-completions/planted.jsonl.gz"),
        ("prompt", OWN_TEXTS, "vanilla: prompt 0", OWN_TEXTS),
        ("own text", "greedy", "vanilla 0", OWN_TEXTS),
        ("item", "top", "accuracy 3", "raw/top.jsonl.gz"),
        ("golden", "intact", "value of perplexity", "golden.json"),
        ("file", "the run", "golden.json", "golden.json"),
        ("file", "the run", "manifest", "manifest.json"),
        ("verdict", "the run", "exit code", "record.json"),
    ],
)
def test_a_difference_names_the_file_that_holds_what_is_recorded(kind, cell, name, file):
    difference = Difference(kind, cell, name, 1, 2)
    assert difference.file == file
    assert difference.words.startswith(f"{file}: {kind} {name} of {cell}: ")
    assert difference.as_json()["file"] == file


@pytest.mark.parametrize("loops", [0, 3, 8, 9, 12])
def test_limits_are_read_a_second_time_however_many_texts_are_degenerate(loops):
    evidence = {"worst_window_nll": 1.0, "mean_nll": 2.0, "repetition": 0.1, "length": 90.0}
    texts = [completion("x").model_copy(update={"evidence": evidence})] * 9
    texts += [completion("x").model_copy(update={"evidence": evidence | {"repetition": 0.9}})] * loops
    assert _limits(texts) == asdict(calibrate(texts))
