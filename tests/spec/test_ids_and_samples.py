"""Ids that are one file on some systems, and samples that are one text, are refused at their lines."""

import pytest

from harness.errors import UserError
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from tests.runs.conftest import SMALL


def refused(folder, old, new):
    path = folder / "small.yaml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as told:
        load_yaml_model(path, BenchmarkSpec)
    return str(told.value).replace(f"{path}:", "")


def test_several_samples_at_temperature_0_are_refused(tmp_path):
    for temperature in ("samples: 3", "samples: 3, temperature: 0"):
        told = refused(tmp_path, "samples: 3, temperature: 1.0", temperature)
        assert "evaluations[1].temperature" in told and "are the same text at temperature 0" in told


def test_more_texts_than_a_memory_holds_are_refused(tmp_path):
    asked = "prompts: 4, system_prompt: false"
    for old, new, key in (
        ("samples: 3,", "samples: 2000000000,", "evaluations[1].samples"),
        (asked, asked.replace("4", "1000001"), "evaluations[1].prompts"),
        ("samples: 3,", "samples: 1000000,", "evaluations[1].samples"),
    ):
        told = refused(tmp_path, old, new)
        assert key in told and ("1000000" in told or "expected 1,000,000 texts at most" in told)


def test_ids_that_differ_in_case_alone_are_refused(tmp_path):
    region = "region: {select: planted}}"
    heads = "region: {select: attention-heads, harmless: b, fraction: 0.1}, grid: {harmful: [x, X]}}"
    told = refused(tmp_path, region, heads)
    assert "cells 'planted_harmfulx' and 'planted_harmfulX' are one file on some systems" in told
    assert "is declared twice" in refused(tmp_path, region, heads.replace("[x, X]", "[x, x]"))
