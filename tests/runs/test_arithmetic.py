"""What a record says of the numbers' machine: two settings of one processor are two machines."""

import json
import os
import subprocess
import sys

import pytest
import torch

from harness.errors import UserError
from harness.runs import provenance
from harness.runs.arithmetic import LIMITS, arithmetic
from harness.runs.keys import Surroundings, digest


@pytest.fixture(autouse=True)
def no_limit(monkeypatch):
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)


def test_the_instructions_in_use_and_what_limits_them_are_noted(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "AVX2,STRICT")
    monkeypatch.setenv("MKL_SOMETHING_ELSE", "/home/somebody")
    facts = arithmetic()
    assert facts.limits == {"MKL_CBWR": "AVX2,STRICT"}
    assert facts.instructions == f"{torch.backends.cpu.get_cpu_capability()} (MKL_CBWR=AVX2,STRICT)"
    assert facts.instructions in facts.words and "denormals kept" in facts.words


def test_numbers_that_are_flushed_to_zero_are_noted():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormals")
    try:
        assert arithmetic().denormals == "flushed to 0"
    finally:
        torch.set_flush_denormal(False)
    assert arithmetic().denormals == "kept"


@pytest.mark.parametrize("value", ["/home/somebody/avx2", "AVX2 and more", "A" * 41])
def test_what_is_no_setting_is_refused(monkeypatch, value):
    monkeypatch.setenv("MKL_CBWR", value)
    with pytest.raises(UserError, match=r"MKL_CBWR is .* expected one word"):
        provenance.machine(1)


def test_a_setting_that_is_refused_ends_a_run_with_exit_code_2(small_spec, tmp_path):
    command = [sys.executable, "-m", "harness", "run", str(small_spec), "--model", "tiny-llama2-chat"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        env={**os.environ, "MKL_CBWR": "/etc"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "MKL_CBWR is '/etc'" in done.stderr and "Traceback" not in done.stderr


def machine_under(**limits):
    """The facts that keys are made of, as another process with these variables has them."""
    script = (
        "import json; from harness.runs import provenance; print(json.dumps(provenance.machine(1), sort_keys=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **limits}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_was_measured_under_one_setting_is_never_taken_for_that_of_another():
    keys, facts = set(), []
    for limits in ({}, {"ATEN_CPU_CAPABILITY": "default"}, {"MKL_CBWR": "COMPATIBLE"}):
        machine = machine_under(**limits)
        facts.append(json.loads(machine)["arithmetic"])
        keys.add(digest(vars(Surroundings("model", "tokenizer", machine))))
    assert len(keys) == 3
    assert facts[1]["cpu_capability"] == "DEFAULT"
    assert facts[2]["limits"] == {"MKL_CBWR": "COMPATIBLE"}
