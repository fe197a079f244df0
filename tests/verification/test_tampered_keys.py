"""What decides figures, tampered with in the record alone: the run's key, its cells' and its id tell."""

import dataclasses
import json

import pytest

from harness.verification.findings import Ledger
from harness.verification.reader import read_again
from harness.verification.recorded import open_recorded
from tests.verification.conftest import caught

TOP = "top_fraction0.3"


def facts(named, **changes):
    return lambda run: run.record["provenance"].update(changes), named


def variant(named, **changes):
    return lambda run: run.record["variant"].update(changes), named


def evaluation(run, name):
    return next(each for each in run.record["spec"]["evaluations"] if each["name"] == name)


def header(run, **changes):
    path = run.folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def package(run):
    run.record["provenance"]["packages"]["numpy"] = "1.0.0"


def data(run):
    run.record["provenance"]["data_sha256"]["tiny_sums/test"] = "0" * 64


def arithmetic(run):
    run.record["provenance"]["arithmetic"].update(cpu_capability="AVX2", denormals="flushed to 0")


KEY = "key key in run.json of the run"
TAMPERED = {
    "another tokenizer": facts(KEY, tokenizer_sha256="0" * 64),
    "another model": facts(KEY, model_sha256="0" * 64),
    "another engine": facts("engine version of the run: recorded 'vllm: vllm 0.30.0'", engine="vllm: vllm 0.30.0"),
    "another version of the engine": facts("engine version of the run", engine="hf: transformers 4.0.0"),
    "no engine": facts("engine version of the run: recorded 'None'", engine=None),
    "the engine of the variant": variant(KEY, engine="vllm"),
    "another processor": facts("machine run.json of the run", processor="Another"),
    "an accelerator": facts("machine run.json of the run", accelerator="NVIDIA H200"),
    "more threads": facts("machine run.json of the run", threads=64),
    "other instructions": (arithmetic, "machine run.json of the run"),
    "another package": (package, "package numpy of planted: recorded '1.0.0'"),
    "other items": (data, f"key of what decides its figures of {TOP}"),
    "another limit": (lambda run: evaluation(run, "accuracy").update(limit=7), KEY),
    "another temperature": (lambda run: evaluation(run, "vanilla").update(temperature=0.5), KEY),
    "another template": (lambda run: evaluation(run, "adv_suffix").update(chat_template=False), KEY),
    "another share of sound texts": (lambda r: r.record["spec"]["validity"].update(calibration_prompts=40), KEY),
    "another family": variant(KEY, family="qwen2"),
    "a longer context": variant(KEY, context_tokens=4096),
    "no planted region": variant(KEY, planted_region="elsewhere.safetensors"),
    "another key": (lambda run: header(run, key="0" * 64), KEY),
    "no keys of cells": (lambda run: header(run, cells={}), f"key {TOP} of the run: recorded 'missing'"),
    "no key of a run": (lambda run: (run.folder / "run.json").write_text("[]"), "file run.json of the run"),
    "another id": (lambda run: run.record.update(id=run.record["id"][:-8] + "0" * 8), "key end of the id of the run"),
    "an end before the beginning": facts("time whether it ends", finished="2001-01-01T00:00:00Z"),
    "a time that is none": facts("time of the run of the run", started="yesterday"),
    "more cells than there are": facts("time cells that were taken up", resumed=9),
    "a cell that is none": facts("time cells that were measured anew", measured_anew={"none": "x"}),
}


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(copied, tamper, named):
    caught(copied, tamper, named)


def test_the_hash_of_a_cells_texts_is_that_of_their_file(read_twice):
    run, ledger = open_recorded(read_twice[1], Ledger()), Ledger()
    read_again(dataclasses.replace(run, texts_sha256={**run.texts_sha256, TOP: "0" * 64}), ledger)
    assert [each.name for each in ledger.differs] == ["SHA-256"]
