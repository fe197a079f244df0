"""Bars of the scorer's rules: what is stacked, what is written beside it, and the published points below."""

import pytest

from harness.reports.layouts.scorer_rules import class_shares, draw, label, rule_shares
from harness.reports.results import published_results

GROUPS = [
    {"id": "intact", "title": "Intact model"},
    {
        "id": "snip-top",
        "title": "Top 1% by SNIP",
        "region": {"select": "top", "method": "snip", "data": "safety", "fraction": 0.01},
        "grid": {"schedule": ["one_shot"]},
    },
]
RULES = {
    "scorer_rule_refusal_phrase_vanilla": 0.0,
    "scorer_rule_too_short_vanilla": 0.75,
    "scorer_rule_passed_vanilla": 0.25,
}
PUBLISHED = "Somebody 2025, figure 1a"


@pytest.fixture
def record(make_cell, make_record):
    intact = make_cell("intact", "intact", {"asr_vanilla": 0.0, "accuracy_mean": 0.8})
    destroyed = make_cell(
        "snip-top_scheduleone_shot",
        "snip-top",
        {"asr_vanilla": 0.25, "accuracy_mean": 0.3, **RULES},
        invalid=("asr_vanilla",),
        parameters={"schedule": "one_shot"},
        completion_classes={"vanilla": {"degenerate": 90, "answer": 10}},
    )
    return make_record([intact, destroyed], GROUPS, "scorer_rules", benchmark="zero-asr")


def test_the_shares_are_those_of_the_cell(record):
    cell = record.cells[1]
    assert rule_shares(cell, "asr_vanilla") == {"refusal_phrase": 0.0, "too_short": 0.75, "passed": 0.25}
    assert class_shares(cell, "asr_vanilla") == {"degenerate": 0.9, "answer": 0.1}
    assert label(cell) == "Snip-top (one shot)"
    assert rule_shares(record.cells[0], "asr_vanilla") == {}


def test_published_zeros_are_named_with_their_accuracy_and_stand_beside_ours(record, golden_folder):
    values = [
        ("snip-top_scheduleone_shot", "asr_vanilla", 0.0, PUBLISHED),
        ("snip-top_scheduleone_shot", "accuracy_mean", 0.337, PUBLISHED),
        ("intact", "asr_vanilla", 0.0, PUBLISHED),
        ("intact", "accuracy_mean", 0.583, PUBLISHED),
    ]
    path = golden_folder("llama2-7b-chat", "zero-asr", values)
    drawing = draw(record, published_results(record, [path]))
    assert "an ASR of 0.00 for Top 1% by SNIP at accuracy 0.34" in drawing.caption
    assert "Intact model at" not in drawing.caption
    assert "1 of 2 are invalid" in drawing.caption
    assert "0.337" in drawing.content and "<svg" in drawing.content


def test_a_record_without_scorer_rules_has_no_such_figure(make_cell, make_record):
    assert draw(make_record([make_cell("intact", "intact", {"asr_vanilla": 0.0})], GROUPS[:1]), []) is None
