"""What in a record does not follow from the rest of it, told before it becomes golden values."""

import pytest

from harness.runs.misjudged import misjudged
from harness.spec.result import RunRecord, Verdict
from tests.by_hand import provenance


def told_of_the_variant(bound, **changes):
    variant = {key: value for key, value in {**bound.variant.as_record(), **changes}.items() if value is not None}
    record = RunRecord(
        id="tiny-llama2-chat/small/1",
        spec=bound.spec.model_dump(mode="json", exclude_none=True),
        variant=variant,
        provenance=provenance(),
        validity_thresholds={},
        cells=(),
        checks=(),
        claims=(),
        verdict=Verdict(status="passed", exit_code=0, reasons=()),
    )
    return [words for words in misjudged(record, bound.spec) if words.startswith("its variant")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": None}, "source: Field required"),
        ({"family": None}, "family"),
        ({"context_tokens": -1}, "context_to"),
    ],
)
def test_a_record_of_no_variant_of_this_version_is_told(bound, changes, words):
    (told,) = told_of_the_variant(bound, **changes)
    assert told.startswith("its variant is none of this version: ") and words in told


def test_a_variant_as_records_hold_it_is_one(bound):
    assert told_of_the_variant(bound) == []
