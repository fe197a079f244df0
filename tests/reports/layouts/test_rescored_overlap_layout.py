"""The layout of extension 1, from small records: rows, values beside them, panels."""

import re

import pytest

from harness.reports.layouts import rescored_overlap
from harness.reports.results import published_results
from tests.reports.layouts.test_layouts import INTACT, LAYER, panels, rows_of, spots, texts

COMPARED = {"kind": "rescored_overlap", "name": "rescored", "compared": {"top_safety": {}, "top": {}}}
RESAMPLED = [{"kind": "overlap", "name": f"halves_{region}"} for region in ("top_safety", "top")]


@pytest.fixture
def rescored(make_cell, make_record):
    """An intact cell with halves and a frozen one, each with two regions in one layer."""
    layer = LAYER.format(0, "mlp.up_proj")

    def figures(prefix, share):
        return {
            f"{prefix}{region}_{measure}": share - 0.1 * (measure == "jaccard") * (share < 1)
            for region in ("top_safety", "top")
            for measure in ("overlap_share", "jaccard", f"overlap_share/{layer}")
        }

    cells = [
        make_cell("intact", "intact", figures("", 1.0) | figures("halves_", 0.75)),
        make_cell("frozen", "frozen", figures("", 0.5)),
    ]
    frozen = {"id": "frozen", "title": "Frozen", "fine_tuning": {"method": "lora"}}
    record = make_record(cells, [INTACT, frozen])
    return record.model_copy(update={"spec": record.spec | {"evaluations": [COMPARED, *RESAMPLED]}})


def test_found_again_is_a_table_of_cells_and_resamplings_beside_the_reports_values(rescored, golden_folder):
    path = golden_folder("llama2-7b-chat", "b", [("frozen", "top_safety_overlap_share", 0.39, "R, table 1")])
    drawing = rescored_overlap.draw(rescored, published_results(rescored, [path]))
    without_intervals = re.sub(r'<span class="dim">.*?</span>', "", drawing.content)
    assert [[" ".join(cell) for cell in row] for row in rows_of(without_intervals)] == [
        ["Intact", "1.000", "-", "1.000", "-", "1.000", "-", "1.000", "-"],
        ["Frozen", "0.500", "0.39", "0.400", "-", "0.500", "-", "0.400", "-"],
        ["Intact, resampled: halves", "0.750", "-", "0.650", "-", "0.750", "-", "0.650", "-"],
    ]
    assert "as printed in R, table 1" in drawing.caption


def test_layers_are_drawn_where_anything_changed(rescored):
    drawing = rescored_overlap.draw(rescored, [])
    assert panels(drawing.content) == 4
    shown = set(texts(drawing.content))
    assert {"top safety: frozen", "top: frozen", "top safety: intact, halves", "top: intact, halves"} <= shown
    assert "top: intact" not in shown


def test_the_points_of_resamplings_say_their_figures(rescored):
    said = {words for _, words in spots(rescored_overlap.draw(rescored, []).content)}
    assert "intact, halves (this run: tiny), block 0: MLP up_proj 0.750 [0.650, 0.850]" in said


def test_where_nothing_changed_there_is_a_table_and_no_chart(rescored):
    intact = rescored.cells[0]
    alone = intact.model_copy(update={"measurements": tuple(m for m in intact.measurements if m.value == 1.0)})
    drawing = rescored_overlap.draw(rescored.model_copy(update={"cells": (alone,)}), [])
    assert len(rows_of(drawing.content)) == 1
    assert "<svg" not in drawing.content
