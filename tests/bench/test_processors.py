"""One small benchmark under two instruction sets: figures agree within their tolerances, and nothing is mixed."""

import subprocess
import sys

import pytest
import torch

from bench.nearness import nearness, rows
from bench.processors import SETTINGS, environment, shell_line
from bench.stages import differences
from harness.runs import acceptance
from harness.runs.arithmetic import LIMITS
from harness.runs.journal import read_record
from harness.runs.judgement import golden_checks
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec

SPEC = """
id: processors
title: Every stage in miniature
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 32}
  utility: {dataset: utility, samples: 32}
attribution: {comparison_group: matrix}
cells:
  - {id: intact, title: Intact}
  - id: difference
    title: Set difference
    region: &critical {select: set-difference, method: snip, safety: safety, utility: utility, p: 0.05, q: 0.002}
  - id: tuned
    title: Fine-tuned
    fine_tuning: {method: lora, lora: {r: 8, alpha: 16, layer_types: [q_proj, v_proj, o_proj]}, dataset: utility,
                  examples: 480, epochs: 1, batch_size: 48, checkpoint_every: 5}
evaluations:
  - kind: drift
    checkpoints: 2
    groups: [{name: critical, region: *critical}]
    replicates: 20
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 5, system_prompt: true, chat_template: true}
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 3}
golden_values: none
"""
LIMITED = "compatible"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of two runs, and their records: default instructions, and the fewest."""
    folder = tmp_path_factory.mktemp("processors")
    spec = folder / "processors.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    found = []
    for setting in ("default", LIMITED):
        out = folder / setting
        command = [sys.executable, "-m", "harness", "run", str(spec), "--model", "tiny-llama3-instruct"]
        subprocess.run([*command, "--out", str(out)], env=environment(setting), check=True, capture_output=True)
        (path,) = out.rglob("record.json")
        found.append((out, read_record(path)))
    return found


def can_be_limited():
    """Whether the fewest instructions are others than those in use; on some processors they are the same."""
    return torch.backends.cpu.get_cpu_capability() != "DEFAULT"


def test_figures_under_another_instruction_set_are_within_the_tolerances_of_the_first(runs, tmp_path, monkeypatch):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    (_, first), (_, second) = runs
    golden = acceptance.accept(first, "what the first instruction set gives", {})[1]
    checks = golden_checks(BenchmarkSpec.model_validate(first.spec), second.cells, {}, golden)
    assert len(checks) > 50
    assert [check.message for check in checks if check.status not in ("passed", "not_compared")] == []
    assert sum(check.status == "not_compared" for check in checks) < len(checks) / 20


def test_how_near_figures_come_to_failing_is_a_share_of_their_tolerance(runs, tmp_path, monkeypatch):
    monkeypatch.setenv(locations.VARIABLE, str(tmp_path))
    record = runs[0][1]
    golden = acceptance.accept(record, "what the first instruction set gives", {})[1]
    checks = golden_checks(BenchmarkSpec.model_validate(record.spec), record.cells, {}, golden)
    assert nearness(record.model_copy(update={"checks": tuple(checks)})).figure == ""
    moved = next(each for each in checks if each.metric == "perplexity" and each.tolerance)
    half = moved.model_copy(update={"difference": -moved.tolerance / 2})
    found = nearness(record.model_copy(update={"checks": tuple(half if each is moved else each for each in checks)}))
    assert (found.differ, found.figure) == (1, f"{moved.cell}:perplexity")
    assert found.nearest == pytest.approx(0.5)
    assert "1 of" in found.words and "nearest 0.50" in found.words
    untold = half.model_copy(update={"status": "not_compared"})
    assert nearness(record.model_copy(update={"checks": (untold,)})).compared == 0


def test_every_folder_has_a_column_of_its_own(runs, tmp_path):
    alone = [tuple(rows([runs[0][0]])), tuple(rows([out for out, _ in runs]))]
    assert [len(table[0]) for table in alone] == [4, 5]
    assert alone[1][0][:2] == ("tiny-llama3-instruct", "processors")


def test_the_settings_differ_in_bits_where_the_processor_has_both(runs):
    (_, first), (_, second) = runs
    assert second.provenance.arithmetic.limits == SETTINGS[LIMITED]
    values = [[m.value for cell in record.cells for m in cell.measurements] for record in (first, second)]
    assert len(values[0]) == len(values[1])
    if can_be_limited():
        assert first.provenance.arithmetic.cpu_capability != second.provenance.arithmetic.cpu_capability
        assert values[0] != values[1]


def test_stages_are_compared_in_their_order(runs):
    rows = differences(runs[0][0], runs[1][0])
    assert list(dict.fromkeys(row.stage for row in rows))[:4] == ["scores", "selection", "regions", "checkpoints"]
    scores = [row for row in rows if row.stage == "scores"]
    assert len(scores) == 2 and all(row.of > 100_000 and row.largest < 0.01 for row in scores)
    if can_be_limited():
        assert all(row.differ > 0 for row in scores)
        assert any(row.stage == "figures" for row in rows)
    same = differences(runs[0][0], runs[0][0])
    assert same and all(row.differ == 0 for row in same)


def test_a_setting_is_all_that_limits_a_child(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    for setting, limits in SETTINGS.items():
        assert {name: value for name, value in environment(setting).items() if name in LIMITS} == limits


def test_the_line_for_a_shell_names_the_limits(tmp_path):
    line = shell_line("avx2", ("reproduce",), tmp_path / "avx2")
    assert line == f"ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=AVX2 harness reproduce --out {tmp_path / 'avx2'}"
