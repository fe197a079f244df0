"""The report as a file: self-contained, escaped, honest about what is invalid."""

import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.reports.html import write_report
from harness.reports.text import visible
from harness.runs.journal import Journal
from harness.spec.result import (
    CellResult,
    Completion,
    EditReceipt,
    FineTuningReceipt,
    Measurement,
    Provenance,
    RunRecord,
    Verdict,
)

HOSTILE = "<script>alert(1)</script>\u202eevil\u0007" + "x" * 5000


def record(show: bool, fine_tuning: FineTuningReceipt | None = None) -> RunRecord:
    asr = Measurement(
        metric="asr_vanilla", value=0.0, n=100, interval=(0.0, 0.04), valid=False, reason="all <b>garbage</b>"
    )
    accuracy = Measurement(metric="accuracy_mean", value=0.3, n=100, interval=(0.2, 0.4))
    cell = CellResult(id="top", group="top", title="Top", parameters={}, receipt=None, fine_tuning=fine_tuning,
                      measurements=(asr, accuracy),
                      completion_classes={"vanilla": {"degenerate": 1}}, invalid_is_expected=None,
                      completions_sha256="", seconds=1.0)  # fmt: skip
    facts = Provenance(started="a", finished="b", command="harness run b --model v", git_commit=None, git_dirty=None,
                       source_sha256="s", packages={"torch": "1"}, python="3", platform="p", processor="c", threads=1,
                       processes=1, accelerator=None, image_digest=None, model_sha256="m", tokenizer_sha256="t",
                       data_sha256={"d": "0" * 64})  # fmt: skip
    variant = {"name": "v", "title": "V", "show_completions": show}
    return RunRecord(id="v/b/1", spec={"id": "b", "title": "B", "source": {"work": "w"}}, variant=variant,
                     provenance=facts, validity_thresholds={"greedy": {"surprise": 1.0}}, cells=(cell,), checks=(),
                     claims=(),
                     verdict=Verdict(status="invalid", exit_code=3, reasons=("top: <i>invalid</i>",)))  # fmt: skip


def report(folder: Path, show: bool, fine_tuning: FineTuningReceipt | None = None) -> str:
    journal = Journal(folder / "v" / "b" / "1")
    journal.write_record(record(show, fine_tuning))
    journal.write_cell(record(show).cells[0], [
        Completion(evaluation="vanilla", prompt_index=0, sample_index=0, suffix_index=None, prompt="p", text=HOSTILE,
                   token_ids=(), finish_reason="stop", completion_class="degenerate", evidence={"surprise": 9.0})
    ])  # fmt: skip
    return write_report(folder, folder / "report.html").read_text(encoding="utf-8")


def test_hostile_outputs_are_shown_as_text(tmp_path):
    html = report(tmp_path, show=True)
    assert "&lt;script&gt;alert(1)" in html
    for forbidden in ("<script", "<b>garbage", "<i>invalid", "\u202e", "\u0007", "x" * 1000):
        assert forbidden not in html


def test_completions_of_other_models_are_withheld(tmp_path):
    assert "alert(1)" not in report(tmp_path, show=False)


def test_the_report_needs_nothing_from_outside(tmp_path):
    html = report(tmp_path, show=True)
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', html)
    assert "url(http" not in html


def test_invalid_is_said_first_and_with_its_reason(tmp_path):
    html = report(tmp_path, show=True)
    assert html.index("INVALID") < html.index("Cells")
    assert "all &lt;b&gt;garbage" in html


def test_an_edit_of_ranks_is_shown_by_its_measured_ranks(tmp_path):
    receipt = EditReceipt(weights_total=9, rank_share=0.0078125, rank_by_layer={"model.layers.0.mlp.up_proj": 1},
                          fingerprint_before="b", fingerprint_edited="e", fingerprint_restored="b")  # fmt: skip
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
        settings={"method": "lora"}, steps=7, examples=10, loss_first=0.25, loss_last=0.125,
        frozen_share_of_linear=0.5, frozen_share_of_all=0.4805, frozen_mask_sha256="m", frozen_checked=1234,
        frozen_changed=0, weights_trainable=99, moved_share=0.75, swallowed_share=0.0625, fingerprint_before="b",
        fingerprint_after="a",
    )  # fmt: skip
    html = report(tmp_path, show=True, fine_tuning=receipt)
    for words in ("Fine-tuned (lora) on 10 examples, 7 steps, loss 0.250 to 0.125", "0.4805 of all parameters",
                  "0 of 1234 differ in a bit", "0.7500 moved, 0.0625 were rounded away"):  # fmt: skip
        assert words in html
