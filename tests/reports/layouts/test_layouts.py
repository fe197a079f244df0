"""Layouts from small records: what is drawn, what is hollow, what stands beside it. Structure, not pixels."""

import re

import pytest

from harness import plugins
from harness.reports.layouts import against_removed, by_layer, drift, frozen_share, grid_table, histogram
from harness.reports.layouts import asr_against_accuracy as figure_2
from harness.reports.layouts._svg import Spot, Style, draw_panels, point
from harness.reports.results import published_results, results_of_run
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.receipt import EditReceipt, FineTuningReceipt

INTACT = {"id": "intact", "title": "Intact"}
TOP = {
    "id": "top",
    "title": "Top",
    "region": {"select": "top", "method": "snip"},
    "grid": {"fraction": [0.1, 0.3], "seed": [0, 1]},
}


def texts(svg):
    """What stands in a figure: matplotlib leaves each text as a comment beside its outlines."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg)]


def panels(svg):
    return len(re.findall(r'id="[^"]*axes_\d+"', svg))


def marked(svg):
    """Number of filled and of hollow markers."""
    uses = re.findall(r"<use [^>]*style=\"([^\"]*stroke: #(?!000000)[^\"]*)\"", svg)
    hollow = sum("fill: #ffffff" in style for style in uses)
    return len(uses) - hollow, hollow


@pytest.fixture
def two_points(make_cell, make_record):
    good = make_cell("intact", "intact", {"asr_vanilla": 0.25, "accuracy_mean": 0.5})
    bad = make_cell("top", "top", {"asr_vanilla": 0.75, "accuracy_mean": 0.25}, invalid=("asr_vanilla",))
    nothing = make_cell("gone", "gone", {"asr_vanilla": None, "accuracy_mean": 0.5})
    checks = [{"cell": "intact", "metric": metric, "golden": 0.5} for metric in ("asr_vanilla", "accuracy_mean")]
    groups = [INTACT, {"id": "top", "title": "Top", "region": {"select": "planted"}}]
    return make_record([good, bad, nothing], groups, checks=checks)


def test_every_layout_of_a_shipped_spec_exists_and_every_layout_has_one():
    named = {load_yaml_model(path, BenchmarkSpec).layout for path in locations.benchmark_paths()}
    assert named - {None} <= set(plugins.names("reports.layouts"))
    assert {"against_removed", "asr_against_accuracy", "frozen_share", "grid_table", "histogram"} <= named


@pytest.mark.parametrize("name", plugins.names("reports.layouts"))
def test_a_record_without_a_cell_of_a_layout_is_not_drawn(name, make_cell, make_record):
    draw = plugins.load("reports.layouts", name).draw
    assert draw(make_record([], [INTACT]), []) is None
    empty = make_cell("intact", "intact", {"asr_vanilla": None, "accuracy_mean": None, "unknown": 1.0})
    assert draw(make_record([empty], [INTACT]), []) is None


def test_an_invalid_asr_is_hollow_and_a_missing_one_is_not_drawn(two_points):
    drawing = figure_2.draw(two_points, [])
    assert panels(drawing.content) == 1
    valid = two_points.model_copy(
        update={
            "cells": tuple(
                cell.model_copy(
                    update={"measurements": tuple(m.model_copy(update={"valid": True}) for m in cell.measurements)}
                )
                for cell in two_points.cells
            )
        }
    )
    filled, hollow = marked(drawing.content)
    assert hollow == 1
    assert marked(figure_2.draw(valid, []).content) == (filled + 1, 0)
    assert "Gone" not in texts(drawing.content) and {"Intact", "Top", "golden value"} <= set(texts(drawing.content))
    assert "prints no values" in drawing.caption


def test_the_papers_points_stand_in_panels_of_their_own(two_points, golden_folder):
    printed = [("intact", "asr_vanilla", 0.0), ("intact", "accuracy_mean", 0.6), ("top", "accuracy_mean", 0.3)]
    path = golden_folder("llama2-7b-chat", "b", [(*value, "P") for value in printed])
    drawing = figure_2.draw(two_points, published_results(two_points, [path]))
    assert panels(drawing.content) == 2
    assert any(text.startswith("published: ") and "7" in text for text in texts(drawing.content))
    assert "as printed in P" in drawing.caption


def test_a_figure_is_the_same_bytes_and_shares_no_id_with_another(two_points):
    first, again = (figure_2.draw(two_points, []).content for _ in range(2))
    other = figure_2.draw(two_points.model_copy(update={"id": "tiny/c/1"}), []).content
    ids = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (first, other)]
    assert first == again
    assert ids[0] and not ids[0] & ids[1]
    cells = {"b--tiny--intact", "b--tiny--top"}
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', first)) - cells <= ids[0]


def spots(svg):
    """Where each point leads, and what it says."""
    return re.findall(r'<a class="spot"(?: href="#([^"]*)")?><title>(.*?)</title>', svg)


def test_a_point_says_its_cell_and_leads_there(two_points, golden_folder):
    drawn = spots(figure_2.draw(two_points, []).content)
    assert drawn == [
        ("b--tiny--intact", "intact (this run: tiny): ASR vanilla 0.250 [0.150, 0.350]; accuracy 0.500 [0.400, 0.600]"),
        (
            "b--tiny--top",
            "top (this run: tiny): ASR vanilla 0.750 [0.650, 0.850] INVALID; accuracy 0.250 [0.150, 0.350]",
        ),
    ]


def test_a_published_point_leads_to_our_cell_of_the_same_id_if_there_is_one(make_cell, make_record, golden_folder):
    record = make_record([make_cell("intact", "intact", {"asr_vanilla": 0.5, "accuracy_mean": 0.5})], [INTACT, TOP])
    printed = [
        (cell, metric, 0.25, "P")
        for cell in ("intact", "top_fraction0.1_seed0")
        for metric in ("asr_vanilla", "accuracy_mean")
    ]
    path = golden_folder("nowhere-7b", "b", printed)
    _, *theirs = spots(figure_2.draw(record, published_results(record, [path])).content)
    assert [place for place, _ in theirs] == ["b--tiny--intact", ""]
    assert theirs[1][1].startswith("top_fraction0.1_seed0 (published: nowhere-7b): ASR vanilla 0.25")


def test_a_mean_over_seeds_names_all_its_cells_and_a_layer_its_block(make_cell, make_record):
    cells = [removed(make_cell, 0.2, 0, 0.1), removed(make_cell, 0.4, 1, 0.1)]
    ((place, words),) = spots(against_removed.draw(make_record(cells, [INTACT, TOP]), []).content)
    assert place == "b--tiny--top_fraction0.1_seed0"
    assert "0.200" in words and "top_fraction0.1_seed1 (this run: tiny): ASR vanilla 0.400" in words
    layer = make_cell("intact", "intact", {"jaccard/model.layers.3.mlp.up_proj": 0.5})
    ((place, words),) = spots(by_layer.draw(make_record([layer]), []).content)
    assert (place, words[:47]) == ("b--tiny--intact", "intact (this run: tiny), block 3: MLP up_proj 0")


def test_a_point_of_which_nothing_is_drawn_ends_its_link():
    def fill(axes):
        for y in (None, 0.5):
            point(axes[0][0], 0.5, y, Style("#0072b2", "o"), True, spot=Spot(f"cell at {y}", "a--b"))

    svg = draw_panels("n", 1, 1, fill, {})
    assert [words for _, words in spots(svg)] == ["cell at None", "cell at 0.5"]
    assert svg.count('<a class="spot"') == svg.count("</a>") == 2


def test_what_a_point_says_is_text(make_cell, make_record):
    cell = make_cell("intact", "intact", {"asr_vanilla": 0.5, "accuracy_mean": 0.5})
    hostile = cell.model_copy(update={"id": '"><script>\u202e</a>?&amp;'})
    ((place, words),) = spots(figure_2.draw(make_record([hostile]), []).content)
    assert words.startswith("&quot;&gt;&lt;script&gt;⟨U+202E⟩&lt;/a&gt;?&amp;amp; (this run")
    assert "<" not in place


def test_titles_are_drawn_as_they_are(make_cell, make_record):
    cell = make_cell("intact", "$x_<script>--> $", {"asr_vanilla": 0.5, "accuracy_mean": 0.5})
    assert "<script>" not in figure_2.draw(make_record([cell]), []).content


def removed(make_cell, value, seed, fraction, invalid=()):
    return make_cell(
        f"top_fraction{fraction}_seed{seed}",
        "top",
        {"asr_vanilla": value},
        invalid,
        {"fraction": fraction, "seed": seed},
    )


def test_seeds_become_a_mean_and_one_standard_deviation(make_cell, make_record):
    cells = [
        make_cell("intact", "intact", {"asr_vanilla": 0.1}),
        removed(make_cell, 0.5, 0, 0.3, invalid=("asr_vanilla",)),
        removed(make_cell, 0.1, 1, 0.3),
        removed(make_cell, 0.2, 0, 0.1),
        removed(make_cell, 0.4, 1, 0.1),
        removed(make_cell, None, 0, 0.5),
        removed(make_cell, 0.4, 1, 0.5),
    ]
    record = make_record(cells, [INTACT, TOP])
    low, middle, high = against_removed.series_of(results_of_run(record), "asr_vanilla", "fraction")["Top"]
    deviation = 0.02**0.5  # of 0.2 and 0.4 around 0.3, divided by n - 1
    assert (low.amount, low.value, low.valid) == (0.1, pytest.approx(0.3), True)
    assert low.interval == (pytest.approx(0.3 - deviation), pytest.approx(0.3 + deviation))
    assert (middle.amount, middle.valid) == (0.3, False)
    assert (high.value, high.interval, high.valid) == (0.4, None, False)
    drawing = against_removed.draw(record, [])
    assert panels(drawing.content) == 1
    assert {"Intact", "Top", "ASR vanilla", "share of the weights removed"} <= set(texts(drawing.content))
    assert "one standard deviation" in drawing.caption


def test_ranks_are_an_amount_too_and_one_cell_keeps_its_own_interval(make_cell, make_record):
    cell = make_cell("least_rank4", "least", {"accuracy_mean": 0.5}, parameters={"rank": 4})
    record = make_record([cell])
    (point,) = against_removed.series_of(results_of_run(record), "accuracy_mean", "rank")["Least"]
    assert point.interval == (0.4, 0.6)
    drawing = against_removed.draw(record, [])
    assert "ranks removed" in texts(drawing.content)
    assert "95% intervals" in drawing.caption


LAYER = "model.layers.{}.{}"


def test_layers_become_lines_over_blocks(make_cell, make_record):
    values = {
        f"{name}/{LAYER.format(block, layer)}": 0.1 * block
        for name in ("p0.05/jaccard", "similarity_rank4")
        for block in (10, 2, 0)
        for layer in ("self_attn.q_proj", "mlp.up_proj")
    }
    record = make_record([make_cell("intact", "intact", {**values, "jaccard_mean": 0.3})], [INTACT])
    found = by_layer.panels_of(results_of_run(record))
    assert list(found) == ["p0.05/jaccard", "similarity_rank4"]
    assert [block for block, *_ in found["p0.05/jaccard"]["mlp", "up_proj"]] == [0, 2, 10]
    drawing = by_layer.draw(record, [])
    assert panels(drawing.content) == 2
    assert {"attention q_proj", "MLP up_proj", "p0.05/jaccard", "block"} <= set(texts(drawing.content))


def test_four_panels_of_layers_fill_two_rows_and_a_cell_is_named_where_two_have_the_metric(make_cell, make_record):
    values = {f"{name}/{LAYER.format(0, 'mlp.up_proj')}": 0.5 for name in "ab"}
    record = make_record([make_cell(cell, cell, values, invalid=tuple(values)) for cell in ("one", "two")])
    drawing = by_layer.draw(record, [])
    assert panels(drawing.content) == 4
    assert {"a, one", "a, two", "b, one", "b, two"} <= set(texts(drawing.content))


def tuned_groups():
    settings = {"method": "full", "dataset": "utility"}
    frozen = {"select": "top", "method": "snip", "data": "safety"}
    return [
        INTACT,
        {
            "id": "fine-tuned",
            "title": "Fine-tuned, nothing frozen",
            "fine_tuning": settings,
            "grid": {"fine_tuning.examples": [10, 100]},
        },
        {
            "id": "frozen",
            "title": "Fine-tuned, top frozen",
            "fine_tuning": {**settings, "frozen": frozen},
            "grid": {"fine_tuning.examples": [10], "fine_tuning.frozen.fraction": [0.5, 0.1]},
        },
        {
            "id": "planted-frozen",
            "title": "Fine-tuned, planted frozen",
            "fine_tuning": {**settings, "examples": 10, "frozen": {"select": "planted"}},
        },
    ]


def test_freezing_is_a_line_from_no_freezing_on_for_each_number_of_examples(make_cell, make_record, golden_folder):
    receipt = FineTuningReceipt(
        settings={},
        steps=1,
        examples=10,
        loss_first=None,
        loss_last=None,
        frozen_share_of_linear=0.014,
        frozen_share_of_all=0.01,
        frozen_mask_sha256=None,
        frozen_checked=1,
        frozen_changed=0,
        weights_trainable=1,
        moved_share=None,
        swallowed_share=None,
        fingerprint_before="b",
        fingerprint_after="a",
    )
    titles = {group["id"]: group["title"] for group in tuned_groups()}
    cells = [
        make_cell(cell, group, {"asr_vanilla": value}, fine_tuning=tuned).model_copy(update={"title": titles[group]})
        for cell, group, value, tuned in (
            ("intact", "intact", 0.0, None),
            ("fine-tuned_examples10", "fine-tuned", 0.9, receipt),
            ("fine-tuned_examples100", "fine-tuned", 1.0, receipt),
            ("frozen_examples10_fraction0.5", "frozen", 0.2, receipt),
            ("frozen_examples10_fraction0.1", "frozen", 0.6, receipt),
            ("planted-frozen", "planted-frozen", 0.7, receipt),
        )
    ]
    record = make_record(cells, tuned_groups())
    found = {
        (series.title, series.examples): [(share, cell.number("asr_vanilla")) for share, cell in series.points]
        for series in frozen_share.series_of(results_of_run(record))
    }
    assert found == {
        ("Fine-tuned, top frozen", 10): [(0.0, 0.9), (0.1, 0.6), (0.5, 0.2)],
        ("Fine-tuned, planted frozen", 10): [(0.0, 0.9), (0.014, 0.7)],
        ("Fine-tuned, nothing frozen", 100): [(0.0, 1.0)],
    }
    path = golden_folder("llama2-7b-chat", "b", [("frozen_examples10_fraction0.5", "asr_vanilla", 0.34, "P, table 3")])
    drawing = frozen_share.draw(record, published_results(record, [path]))
    assert panels(drawing.content) == 2
    assert {"n = 10: top frozen", "n = 100: nothing frozen", "Not fine-tuned"} <= set(texts(drawing.content))
    assert "as printed in P, table 3" in drawing.caption


def test_heads_are_counted_and_the_papers_summaries_stand_beside_ours(make_cell, make_record, golden_folder):
    heads = {
        f"probing_accuracy/model.layers.{block}.self_attn/head.{head}": value
        for (block, head), value in {(0, 0): 1.0, (0, 1): 0.75, (1, 0): 0.96, (1, 1): None}.items()
    }
    record = make_record([make_cell("intact", "intact", {"probing_minimum_accuracy": 0.75, **heads})], [INTACT])
    assert histogram.panels_of(results_of_run(record)) == {"probing_accuracy": ([1.0, 0.75, 0.96], [])}
    path = golden_folder("llama2-7b-chat", "b", [("intact", "probing_minimum_accuracy", 0.78, "P")])
    drawing = histogram.draw(record, published_results(record, [path]))
    assert drawing.caption.startswith("3 attention heads")
    row = re.search(r"<td>probing minimum accuracy</td>(.*?)</tr>", drawing.content, flags=re.DOTALL)[1]
    assert row.index("0.750") < row.index("0.78<")


def test_bins_reach_from_the_lowest_head_to_one_which_is_in_the_last():
    assert histogram.bin_edges(0.95) == pytest.approx([0.94, 0.96, 0.98, 1.0])
    assert histogram.bin_edges(0.96) == pytest.approx([0.96, 0.98, 1.0])
    assert histogram.bin_edges(1.0) == pytest.approx([0.98, 1.0])


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_heads_that_are_all_alike_can_be_drawn(value, make_cell, make_record):
    metrics = {f"a/model.layers.0.self_attn/head.{head}": value for head in range(3)}
    cell = make_cell("intact", "intact", metrics, invalid=tuple(metrics)[:1])
    assert "heads, invalid" in texts(histogram.draw(make_record([cell]), []).content)


def rows_of(table):
    return [
        [re.sub(r"<[^>]*>", " ", cell).split() for cell in re.findall(r"<td.*?</td>", row, flags=re.DOTALL)]
        for row in re.findall(r"<tr>(<td.*?)</tr>", table, flags=re.DOTALL)
    ]


def test_a_grid_has_our_values_and_the_papers_side_by_side(make_cell, make_record, golden_folder):
    receipt = EditReceipt(
        weights_total=9, sparsity=0.0061, fingerprint_before="b", fingerprint_edited="e", fingerprint_restored="b"
    )
    cells = [
        make_cell("intact", "intact", {"asr_vanilla": 0.0}),
        make_cell(
            "top_fraction0.1_seed0",
            "top",
            {"asr_vanilla": 0.5},
            ("asr_vanilla",),
            {"fraction": 0.1, "seed": 0},
            receipt=receipt,
        ),
    ]
    record = make_record(cells, [INTACT, TOP])
    printed = {"top_fraction0.1_seed0": 0.1, "top_fraction0.3_seed1": 0.92}
    path = golden_folder(
        "llama2-7b-chat", "b", [(cell, "asr_vanilla", value, "P, table 6a") for cell, value in printed.items()]
    )
    drawing = grid_table.draw(record, published_results(record, [path]))
    assert rows_of(drawing.content) == [
        [["Intact"], ["-"], ["-"], ["-"], ["0.000", "[-0.100,", "0.100]"], ["-"]],
        [["Top"], ["0.1"], ["0"], ["0.0061"], ["0.500", "[0.400,", "0.600]", "INVALID"], ["0.10"]],
        [["Top"], ["0.3"], ["1"], ["-"], ["-"], ["0.92"]],
    ]


def test_a_grid_of_another_size_of_model_is_a_table_of_its_own(make_cell, make_record, golden_folder):
    region = {"select": "act-svd", "data": "safety"}
    groups = [
        INTACT,
        *(
            {"id": name.lower(), "title": name, "region": region, "grid": {"rank": [rank]}}
            for name, rank in (("Small", 4), ("Large", 400))
        ),
    ]
    record = make_record([make_cell("small_rank4", "small", {"asr_vanilla": 0.5}, parameters={"rank": 4})], groups)
    printed = [(cell, "asr_vanilla", 0.5, "P") for cell in ("large_rank400", "intact")]
    path = golden_folder("llama2-7b-chat", "b", printed)
    drawing = grid_table.draw(record, published_results(record, [path]))
    assert drawing.content.count("<table>") == 2
    assert [row[0] for row in rows_of(drawing.content)] == [["Small"], ["Intact"], ["Large"]]
    assert "no cell in common" in drawing.caption


def test_titles_in_a_grid_are_escaped(make_cell, make_record):
    cell = make_cell("top_fraction0.1", "<script>", {"asr_vanilla": 0.5}, parameters={"fraction": "<b>"})
    content = grid_table.draw(make_record([cell]), []).content
    assert "<script" not in content.lower() and "<b>" not in content


DRIFT = {
    "kind": "drift",
    "name": "d",
    "checkpoints": 2,
    "statistics": ["absolute_mean", "relative_mean", "norm_ratio"],
    "groups": [
        {"name": "safety", "region": {"select": "planted"}},
        {"name": "random", "region": {"select": "top", "method": "random", "fraction": 0.1}},
        {"name": "matched", "region": {"select": "matched-random", "of": {"select": "planted"}}},
    ],
    "compare": [{"first": "random", "second": "safety"}, {"first": "matched", "second": "safety"}],
}
TUNED = {"id": "tuned", "title": "Tuned"}


def drift_record(make_cell, make_record, cells):
    record = make_record([make_cell(name, name, values) for name, values in cells.items()], [INTACT, TUNED])
    return record.model_copy(update={"spec": record.spec | {"evaluations": [{"kind": "perplexity"}, DRIFT]}})


def drift_values(steps, **groups):
    """`absolute_mean` of each group at each checkpoint, two ratios around 1, and one above it (intervals ± 0.1)."""
    values = {f"d/step/checkpoint{number}": float(step) for number, step in enumerate(steps, start=1)}
    for group, numbers in groups.items():
        values |= {
            f"d_{group}/absolute_mean/checkpoint{number}": value for number, value in enumerate(numbers, start=1)
        }
    return values | {
        "d_random_over_safety/relative_mean/last": 9.0,
        "d_random_over_safety/absolute_mean/last": 1.05,
        "d_matched_over_safety/relative_mean/last": 0.5,
        "d_matched_over_safety/magnitude_mean": 1.0,
    }


def test_drift_is_a_line_over_steps_for_each_group_and_a_table_of_what_each_statistic_supports(make_cell, make_record):
    tuned = drift_values((5, 10), safety=(0.5, 0.8), random=(0.4, 0.9), matched=(0.3, None))
    untouched = {"d/step/checkpoint1": 0.0, "d_safety/absolute_mean/checkpoint1": 0.0}
    record = drift_record(make_cell, make_record, {"tuned": tuned, "no-steps": untouched})
    (course,) = drift.courses_of(results_of_run(record), drift.Settings.model_validate(DRIFT))
    assert [(step, m.value) for step, m in course.series("random", "absolute_mean")] == [(5.0, 0.4), (10.0, 0.9)]
    assert [(step, m.value) for step, m in course.series("matched", "absolute_mean")] == [(5.0, 0.3)]
    outcomes = {row.statistic: row.outcomes for row in drift.rows_of(course)}
    assert outcomes.pop("mean |w| before") == ["-", "-"]
    assert outcomes == {"relative_mean": ["supported", "contradicted"], "absolute_mean": ["underpowered", "-"]}
    drawing = drift.draw(record, [])
    assert panels(drawing.content) == 1
    assert {"safety", "random", "matched", "mean |Δw|", "step"} <= set(texts(drawing.content))
    assert "prints no values" in drawing.caption


def test_published_drift_stands_in_panels_of_its_own_and_its_quotients_in_a_table(
    make_cell, make_record, golden_folder
):
    record = drift_record(make_cell, make_record, {"tuned": drift_values((5, 10), safety=(0.5, 0.8))})
    printed = {
        "d/step/checkpoint1": 500,
        "d/step/checkpoint2": 1000,
        "d_safety/absolute_mean/checkpoint2": 0.002,
        "d_random/absolute_mean/checkpoint1": 7,
        "d_random/absolute_mean/checkpoint2": 0.003,
    }
    path = golden_folder("llama2-7b-chat", "b", [("tuned", metric, value, "P") for metric, value in printed.items()])
    published = published_results(record, [path])
    drawing = drift.draw(record, published)
    assert panels(drawing.content) == 2
    assert drawing.content.count("<table>") == 2
    (course,) = drift.courses_of(published[0], drift.Settings.model_validate(DRIFT))
    (row,) = drift.rows_of(course)
    assert (row.statistic, row.ratios[0].value, row.outcomes) == ("absolute_mean", 1.5, ["-", "-"])
    assert row.ratios[1] is None and "as printed in P" in drawing.caption


def test_a_control_looks_like_the_group_that_it_is_matched_to_but_dashed():
    look = drift._look([drift.Settings.model_validate(DRIFT)])
    assert look["matched"].colour == look["safety"].colour != look["random"].colour
    assert (look["matched"].line, look["safety"].line) == ("--", "-")
