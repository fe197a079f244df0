"""A machine that gives out is told from a check that failed: by errors that libraries really raise."""

import resource
from contextlib import contextmanager

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from harness.cli import main
from harness.errors import MachineError
from harness.exit_codes import with_exit_codes
from harness.runs.store import TensorStore

FILE_BYTES = 20_000


@contextmanager
def small_files():
    """No file may grow beyond FILE_BYTES, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def exit_of(work):
    return CliRunner().invoke(click.command()(with_exit_codes(work)), [])


@pytest.mark.parametrize("allocate", [lambda: torch.empty(10**15), lambda: np.empty(10**15)])
def test_a_want_of_memory_is_the_machines_failure_whichever_library_meets_it(allocate):
    result = exit_of(allocate)
    assert (result.exit_code, "Traceback" in result.output) == (5, False)
    assert "out of memory" in result.output


def test_an_error_that_nobody_foresaw_keeps_its_traceback_and_is_no_failed_check():
    result = exit_of(lambda: torch.zeros(2) @ torch.zeros(3))
    assert result.exit_code == 70
    assert "Traceback" in result.output
    assert "RuntimeError" in result.output


def test_a_full_disk_under_scores_grams_and_edited_checkpoints(checkpoint, pairs_csv, tmp_path):
    scores = tmp_path / "scores.safetensors"
    score = ("score", checkpoint, "--method", "magnitude", "--out")
    assert CliRunner().invoke(main, [str(word) for word in (*score, scores)]).exit_code == 0
    out = tmp_path / "out"
    for arguments in (
        (*score, out),
        ("subspaces", checkpoint, "--data", pairs_csv, "--out", out),
        ("edit", checkpoint, "--select", "top", "--scores", scores, "--fraction", 0.1, "--out", out),
    ):
        with small_files():
            result = CliRunner().invoke(main, [str(word) for word in arguments])
        assert (result.exit_code, "Traceback" in result.output) == (5, False), result.output
        assert "File too large" in result.output
        assert [path.name for path in tmp_path.iterdir()] == ["scores.safetensors"]


def test_a_full_disk_under_the_store(tmp_path):
    with small_files(), pytest.raises(MachineError, match="no room for it on the disk"):
        TensorStore(tmp_path).get({"a": 1}, lambda: {"scores": torch.zeros(FILE_BYTES)})
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_damaged_checkpoint_is_bad_input(checkpoint, tmp_path):
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(
            path.read_bytes()[:-1000] if path.suffix == ".safetensors" else path.read_bytes()
        )
    result = CliRunner().invoke(main, ["score", str(tmp_path), "--method", "magnitude", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "cannot be loaded" in result.output
