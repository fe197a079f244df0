"""The report as a file: self-contained, escaped, honest about what is invalid."""

import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.reports.html import write_report
from harness.reports.pages import columns_of
from harness.reports.receipts import receipt_rows
from harness.reports.text import visible
from harness.runs.journal import Journal
from harness.spec.faults import CleanRun, FaultReport, FaultResult
from harness.spec.measurement import Measurement
from harness.spec.receipt import EditReceipt, FineTuningReceipt, StageReceipt
from harness.spec.result import RunRecord, Verdict
from tests.by_hand import cell_result, completion, provenance
from tests.run_texts import text_of, write_text

HOSTILE = "<script>alert(1)</script>\u202eevil\u0007" + "x" * 5000


def record(show: bool, fine_tuning: FineTuningReceipt | None = None) -> RunRecord:
    asr = Measurement(
        metric="asr_vanilla", value=0.0, n=100, interval=(0.0, 0.04), valid=False, reason="all <b>degenerate</b>"
    )
    accuracy = Measurement(metric="accuracy_mean", value=0.3, n=100, interval=(0.2, 0.4))
    cell = cell_result(
        fine_tuning=fine_tuning,
        measurements=(asr, accuracy),
        completion_classes={"vanilla": {"degenerate": 1}},
        partings={"vanilla": {"degenerate_text": 1}},
    )
    variant = {"name": "v", "title": "V", "show_completions": show, "planted_region": "planted.safetensors"}
    return RunRecord(
        id="v/b/1",
        spec={"id": "b", "title": "B", "source": {"work": "w"}},
        variant=variant,
        provenance=provenance(packages={"torch": "1"}, data_sha256={"d": "0" * 64}),
        validity_thresholds={"greedy": {"worst_window_nll": 1.0}},
        cells=(cell,),
        checks=(),
        claims=(),
        verdict=Verdict(status="invalid", exit_code=3, reasons=("top: <i>invalid</i>",)),
    )


def report(folder: Path, show: bool, fine_tuning: FineTuningReceipt | None = None) -> str:
    journal = Journal(folder / "v" / "b" / "1")
    journal.write_record(record(show, fine_tuning))
    journal.write_cell(
        record(show).cells[0],
        [
            completion(HOSTILE, completion_class="degenerate", evidence={"worst_window_nll": 9.0}),
        ],
    )
    return write_report(folder, folder / "report.html").read_text(encoding="utf-8")


def test_hostile_outputs_are_shown_as_text(tmp_path):
    html = report(tmp_path, show=True)
    assert "&lt;script&gt;alert(1)" in html
    assert html.count("<script") == 1  # our own
    for forbidden in ("<script>alert", "<b>degenerate", "<i>invalid", "\u202e", "\u0007", "x" * 1000):
        assert forbidden not in html


def test_where_the_published_scorer_and_our_reading_part_stands_with_the_classes(tmp_path):
    assert report(tmp_path, show=False).count("1 of 1: 1 degenerate text") == 2


def test_completions_of_other_models_are_withheld(tmp_path):
    assert "alert(1)" not in report(tmp_path, show=False)


def test_a_variants_own_word_is_not_enough_to_show_the_texts_of_a_real_model(tmp_path):
    journal = Journal(tmp_path / "v" / "b" / "1")
    report(tmp_path, show=True)
    real = record(show=True)
    real.variant.pop("planted_region")
    journal.write_record(real)
    html = write_report(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "alert(1)" not in html and "Withheld" in html and "Not for sharing" not in html
    asked = write_report(tmp_path, tmp_path / "own.html", show_completions=True)
    html = asked.read_text(encoding="utf-8")
    assert "alert(1)" in html and html.index("Not for sharing") < html.index("<main>")
    assert asked.stat().st_mode & 0o777 == 0o600


def test_completions_that_are_none_are_counted_and_the_others_shown(tmp_path):
    report(tmp_path, show=True)
    path = Journal(tmp_path / "v" / "b" / "1").completions_path("top")
    good = text_of(path)
    lines = ["no json", "[]", "{}", good.replace("alert(1)", "\u2028\x85two"), good.replace("alert(1)", r"\ud800one")]
    write_text(path, "\n".join(line.strip("\n") for line in lines) + "\n")
    html = write_report(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "3 lines of the file of completions cannot be read" in html
    assert "⟨U+2028⟩⟨U+0085⟩two" in html and "⟨U+D800⟩one" in html


def test_receipts_that_do_not_hold_stand_first_and_equal_ones_in_one_row(tmp_path, make_cell, make_record):
    holds = StageReceipt(stage="data", name="loaded", holds=True, expected="it", seen="that", advice="none")
    broken = holds.model_copy(
        update={"stage": "mask", "name": "axes", "holds": False, "seen": "<i>", "advice": "turn it"}
    )
    cells = [
        make_cell(name, name, {"a": 0.5}, receipts=receipts)
        for name, receipts in (("one", (holds,)), ("two", (holds, broken)))
    ]
    shown = make_record(cells)
    assert [(row.receipt.name, row.cells) for row in receipt_rows(shown)] == [
        ("axes", ("two",)),
        ("loaded", ("one", "two")),
    ]
    Journal(tmp_path / "tiny" / "b" / "1").write_record(shown)
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    assert '2 of 3 <strong class="no">1 DO NOT</strong>' in html
    part = html[html.index('part-receipts">Receipts</h3>') :]
    assert part.index("mask/axes") < part.index("data/loaded")
    assert "mask/axes does not hold.</strong> Expected it; saw &lt;i&gt;. turn it" in html


def test_what_nobody_checks_is_said_with_its_cells(tmp_path, make_cell, make_record):
    cells = [make_cell("one", "one", {"a": 0.5}), make_cell("two", "two", {"a": 0.5}, unchecked=("method <x>: none",))]
    Journal(tmp_path / "tiny" / "b" / "1").write_record(make_record(cells))
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    assert "Nobody checks by other means:</strong> method &lt;x&gt;: none (two)." in html


def test_a_wide_table_of_few_cells_is_turned_and_that_of_one_cell_folded(tmp_path, make_cell, make_record):
    metrics = {
        f"{family}_{measure}": 0.25
        for family in ("snip_top5", "wanda_top5")
        for measure in (
            "jaccard",
            "jaccard_mean",
            "jaccard_mean_attention",
            "jaccard_mean_mlp",
            "overlap_share",
            "unchanged_share",
        )
    }
    Journal(tmp_path / "tiny" / "b" / "1").write_record(make_record([make_cell("intact", "intact", metrics)]))
    two = [make_cell(name, name, metrics) for name in ("one", "two")]
    Journal(tmp_path / "tiny" / "c" / "1").write_record(make_record(two, benchmark="c"))
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    folded, turned = (part[: part.index("</table>")] for part in html.split('part-cells">Cells</h3>')[1:])
    assert re.findall(r'<th scope="row">(.*?)</th>', folded) == ["snip top5", "wanda top5"]
    assert folded.count("<td") == 12
    assert re.findall(r'<th scope="rowgroup">(.*?)</th>', turned) == ["snip top5", "wanda top5"]
    assert turned.count('class="of-family"') == 12 and turned.count("0.250") == 24


def test_the_report_needs_nothing_from_outside(tmp_path):
    html = report(tmp_path, show=True)
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', html)
    assert "url(http" not in html


def test_invalid_is_said_first_and_with_its_reason(tmp_path):
    html = report(tmp_path, show=True)
    assert html.index("INVALID") < html.index("Cells")
    assert "all &lt;b&gt;degenerate" in html


def test_an_invalid_cell_names_the_command_that_explains_it(tmp_path):
    html = report(tmp_path, show=False)
    assert f"<code>harness explain {tmp_path.name}/v/b/1/record.json top</code>" in html


def test_an_edit_of_ranks_is_shown_by_its_measured_ranks(tmp_path):
    receipt = EditReceipt(
        weights_total=9,
        rank_share=0.0078125,
        rank_by_layer={"model.layers.0.mlp.up_proj": 1},
        fingerprint_before="b",
        fingerprint_edited="e",
        fingerprint_restored="b",
    )
    shown = record(show=False)
    cell = shown.cells[0].model_copy(update={"receipt": receipt})
    Journal(tmp_path / "v" / "b" / "1").write_record(shown.model_copy(update={"cells": (cell,)}))
    html = write_report(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<td>rank 0.0078</td>" in html
    assert "model.layers.0.mlp.up_proj 1" in html


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no record\.json"):
        write_report(tmp_path, tmp_path / "report.html")


def test_line_breaks_stay_and_control_characters_are_spelled_out():
    assert visible("a\nb\x00\u200f") == "a\nb⟨U+0000⟩⟨U+200F⟩"


def test_a_fine_tuned_cell_says_what_was_frozen_and_what_moved(tmp_path):
    receipt = FineTuningReceipt(
        settings={"method": "lora"},
        steps=7,
        examples=10,
        loss_first=0.25,
        loss_last=0.125,
        frozen_share_of_linear=0.5,
        frozen_share_of_all=0.4805,
        frozen_mask_sha256="m",
        frozen_checked=1234,
        frozen_changed=0,
        weights_trainable=99,
        moved_share=0.75,
        swallowed_share=0.0625,
        fingerprint_before="b",
        fingerprint_after="a",
    )
    html = report(tmp_path, show=True, fine_tuning=receipt)
    for words in (
        "Fine-tuned (lora) on 10 examples, 7 steps, loss 0.250 to 0.125",
        "0.4805 of all parameters",
        "0 of 1234 differ in a bit",
        "0.7500 moved, 0.0625 were rounded away",
    ):
        assert words in html


def test_the_summary_has_a_row_for_each_record_that_leads_to_its_page(tmp_path, make_cell, make_record):
    claims = [
        {"id": name, "status": status}
        for name, status in (("one", "supported"), ("two", "contradicted"), ("three", "supported"))
    ]
    checks = [{"cell": "intact", "metric": "a"}, {"cell": "intact", "metric": "b", "status": "failed"}]
    for name in ("b", "c"):
        shown = make_record([make_cell("intact", "intact", {"a": 0.5})], benchmark=name, claims=claims, checks=checks)
        Journal(tmp_path / "tiny" / name / "1").write_record(shown)
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    rows = re.findall(r"<tr [^>]*><th scope=\"row\"><a href=\"#([^\"]*)\">.*?</tr>", html, flags=re.DOTALL)
    assert rows == ["b--tiny", "c--tiny"]
    assert all(html.count(f'id="{anchor}"') == 1 for anchor in rows)
    summary = html[: html.index('class="view page"')]
    for words in ("figure 9z, section 4.1", "1 of 2", "2 supported, 1 contradicted", "PASSED", "tiny"):
        assert words in summary


def test_a_page_says_what_the_machine_computed_with(make_record, make_cell, tmp_path):
    made = make_record([make_cell("intact", "intact", {"asr_vanilla": 0.5})])
    Journal(tmp_path / "v" / "b" / "1").write_record(made)
    page = write_report(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "AVX2 (MKL_CBWR=AVX2); BLAS mkl, LAPACK mkl, oneDNN there" in page


def test_a_page_has_verdict_figure_claims_cells_validity_checks_and_provenance_in_this_order(tmp_path):
    html = report(tmp_path, show=True)
    page = html[html.index('class="view page"') :]
    titles = re.findall(r"<h3[^>]*>(.*?)</h3>", page)
    assert titles == [
        "Claims",
        "Cells",
        "Receipts",
        "Canaries",
        "Validity of the outputs",
        "Checks that did not pass",
        "Provenance",
    ]
    assert page.index("INVALID") < page.index("names no layout") < page.index(">Claims</h3>")
    assert page.index("Make it again") > page.index(">Provenance</h3>")


def test_a_shared_cell_says_where_it_was_measured_and_leaves_its_texts_there(tmp_path, make_cell, make_record):
    owner = make_record([make_cell("intact", "intact", {"a": 0.5})], benchmark="b")
    here = make_cell(
        "same", "same", {"a": 0.5}, completion_classes={"vanilla": {"answer": 1}}, measured_in="tiny/b/1#intact"
    )
    far = make_cell("far", "far", {"a": 0.5}, measured_in="tiny/gone/1#intact")
    for name, shown in (("b", owner), ("c", make_record([here, far], benchmark="c"))):
        Journal(tmp_path / "tiny" / name / "1").write_record(shown)
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    assert 'measured in <a href="#b--tiny--intact">b, cell intact</a>' in html
    assert html.count('id="b--tiny--intact"') == 1
    assert "measured in the run tiny/gone/1, cell intact" in html
    assert "Texts: measured in" in " ".join(html.split())


def test_columns_are_those_that_the_record_has(make_cell):
    layers = {f"jaccard/model.layers.{block}.mlp.up_proj": 0.5 for block in range(3)}
    heads = make_cell("intact", "intact", {"probing_minimum_accuracy": 0.5, **layers})
    metrics = ("accuracy_tiny", "accuracy_mean", "asr_vanilla", "refused_a", "asr_adv_suffix_any")
    attacked = make_cell("top", "top", dict.fromkeys(metrics, 0.5))
    assert columns_of([heads]) == ["probing_minimum_accuracy"]
    assert columns_of([heads, attacked]) == ["asr_vanilla", "accuracy_mean", "probing_minimum_accuracy"]


def test_a_table_of_cells_without_receipts_has_no_column_for_them(tmp_path):
    html = report(tmp_path, show=False)
    assert '<th scope="col">asr vanilla</th>' in html
    for absent in (">Mask</th>", ">Sparsity", ">Frozen</th>", ">Planted", ">perplexity</th>"):
        assert absent not in html


def test_the_papers_values_stand_in_the_page_of_a_benchmark(tmp_path, make_cell, make_record, golden_folder):
    cell = make_cell("intact", "intact", {"asr_vanilla": 0.5, "accuracy_mean": 0.5})
    groups = [{"id": "intact", "title": "Intact"}]
    shown = make_record([cell], groups, layout="asr-against-accuracy", benchmark="b")
    Journal(tmp_path / "tiny" / "b" / "1").write_record(shown)
    path = golden_folder(
        "nowhere-7b", "b", [("intact", metric, 0.5, "Wei, table 1") for metric in ("asr_vanilla", "accuracy_mean")]
    )
    html = write_report(tmp_path, tmp_path / "report.html", [path]).read_text(encoding="utf-8")
    assert "Published: nowhere-7b as printed in Wei, table 1." in html
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', html)


def test_a_layout_of_another_version_is_said_and_the_rest_is_shown(tmp_path, make_cell, make_record):
    shown = make_record([make_cell("intact", "intact", {"a": 0.5})], layout="gone")
    Journal(tmp_path / "tiny" / "b" / "1").write_record(shown)
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    assert "layout &#39;gone&#39;, which this version does not have" in html
    assert "0.500" in html


def test_the_newest_record_of_a_benchmark_is_shown(tmp_path, make_cell, make_record):
    for number, finished in (("1", "2026-02-01"), ("2", "2026-01-01")):
        shown = make_record([make_cell(f"cell-{number}", "intact", {"a": 0.5})])
        facts = shown.provenance.model_copy(update={"finished": finished})
        Journal(tmp_path / "tiny" / "b" / number).write_record(shown.model_copy(update={"provenance": facts}))
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    assert "cell-1" in html and "cell-2" not in html


def test_every_id_of_a_report_is_there_once_and_every_link_leads_somewhere(tmp_path, make_cell, make_record):
    for name in ("b", "c"):
        cell = make_cell("intact", "intact", {"asr_vanilla": 0.5, "accuracy_mean": 0.5})
        Journal(tmp_path / "tiny" / name / "1").write_record(
            make_record([cell], layout="asr_against_accuracy", benchmark=name)
        )
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', html)) <= set(ids)


def test_canaries_are_shown_with_what_to_do_about_a_broken_one(tmp_path, make_cell, make_record):
    whole = StageReceipt(stage="canary", name="repeat", holds=True, expected="the same", seen="the same", advice="none")
    dead = whole.model_copy(update={"name": "shuffled", "holds": False, "seen": "<b>", "advice": "look at the engine"})
    shown = make_record([make_cell("intact", "intact", {"a": 0.5})])
    Journal(tmp_path / "tiny" / "b" / "1").write_record(shown.model_copy(update={"canaries": (whole, dead)}))
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    assert html.index(">shuffled</th>") < html.index(">repeat</th>")
    assert '<td class="words">&lt;b&gt;<br><strong class="no">look at the engine' in html
    assert "<td>yes</td>" in html and '<td><strong class="no">NO</strong></td>' in html


def test_injected_faults_are_shown_where_the_folder_of_runs_holds_their_report(tmp_path, make_cell, make_record):
    Journal(tmp_path / "tiny" / "b" / "1").write_record(make_record([make_cell("intact", "intact", {"a": 0.5})]))
    assert 'id="faults"' not in write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    fault = FaultResult(
        name="f",
        number=7,
        title="old <cache>",
        detection="missed",
        verdict="passed",
        seconds=1.0,
        by=None,
        said=None,
        published={"top": (1.0, 0.0)},
        caught_by=("logits/first",),
        others=(),
    )
    clean = CleanRun(variant="tiny", seed=4, alarms=("mask/hash: words",), seconds=1.0)
    report = FaultReport(variant="tiny", started="now", git_commit=None, faults=(fault,), clean=(clean,), seconds=2.0)
    (tmp_path / "faults.json").write_text(report.model_dump_json())
    html = write_report(tmp_path, tmp_path / "report.html", []).read_text(encoding="utf-8")
    assert "0 of 1 faults" in html and "7. old &lt;cache&gt;" in html and "top 0.00 (else 1.00)" in html
    assert "False alarm on tiny, seed 4: mask/hash: words" in html
    (tmp_path / "faults.json").write_text("{}")
    with pytest.raises(UserError, match="make it again with harness faults"):
        write_report(tmp_path, tmp_path / "report.html", [])
