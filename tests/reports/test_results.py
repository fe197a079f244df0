import math

import pytest

from harness.errors import UserError
from harness.reports.results import published_results, results_of_run

GROUPS = [
    {"id": "intact", "title": "Intact"},
    {"id": "top", "title": "Top", "region": {"select": "top", "method": "snip"}, "grid": {"fraction": [0.1, 0.2]}},
]


def test_only_values_with_a_publication_are_the_papers(make_record, golden_folder):
    paths = [
        golden_folder("llama2-13b-chat", "b", [("top_fraction0.2", "asr_vanilla", 0.5, "P table 2")]),
        golden_folder(
            "llama2-7b-chat",
            "b",
            [("top_fraction0.1", "asr_vanilla", 0.25, "P table 1"), ("intact", "asr_vanilla", 0.0, None)],
        ),
        golden_folder("tiny", "b", [("intact", "asr_vanilla", 0.0, None)]),
        golden_folder("llama2-7b-chat", "other", [("intact", "asr_vanilla", 0.0, "P")]),
    ]
    seven, thirteen = published_results(make_record([], GROUPS), paths)
    assert [cell.id for cell in seven.cells] == ["top_fraction0.1"]
    assert seven.cells[0].number("asr_vanilla") == 0.25
    assert seven.cells[0].parameters == {"fraction": 0.1} and seven.cells[0].title == "Top"
    assert seven.publications == ("P table 1",)
    assert "7" in seven.name and "13" in thirteen.name and thirteen.name.startswith("published: ")


def test_cells_that_the_records_spec_does_not_have_are_left_out(make_record, golden_folder):
    path = golden_folder("llama2-7b-chat", "b", [("gone", "asr_vanilla", 0.25, "P")])
    assert published_results(make_record([], GROUPS), [path]) == []


def test_what_is_no_number_is_none_and_not_zero(make_record, make_cell):
    cell = make_cell("intact", "intact", {"a": None, "b": 0.5})
    nan = cell.measurements[1].model_copy(update={"metric": "c", "value": math.nan})
    shown = results_of_run(make_record([cell.model_copy(update={"measurements": (*cell.measurements, nan)})])).cells[0]
    assert [shown.number(metric) for metric in ("a", "b", "c", "missing")] == [None, 0.5, None, None]
    assert not shown.valid("missing")


def test_a_record_of_another_version_is_named(make_record):
    with pytest.raises(UserError, match="tiny/b/1"):
        results_of_run(make_record([], [{"id": "x", "title": "X", "key_of_another_version": 1}]))
