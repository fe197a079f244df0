"""Data that cannot be read, each told with file and line before any weight is loaded."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.executors.local import InProcess
from harness.runs.binding import bind
from harness.runs.pipeline import run_benchmarks
from harness.spec.variant import DatasetFile
from tests.runs.conftest import Silent

LATIN_1 = b"first line\nsecond line\nna\xefve\n"


class LoadsNothing:
    """An executor whose first use would load weights."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the executor is asked for {name}")


def refusal(bound, out: Path, **datasets: Path) -> str:
    files = {name.replace("_", "-"): DatasetFile(path=str(path)) for name, path in datasets.items()}
    files |= {name: file for name, file in bound.variant.datasets.items() if name not in files}
    with pytest.raises(UserError) as caught:
        one = bind(bound.spec, bound.variant.model_copy(update={"datasets": files}), bound.variant_file)
        run_benchmarks([one], out, lambda _: "harness run", Silent(), LoadsNothing())
    assert not out.exists()
    return str(caught.value)


@pytest.fixture
def latin_1(tmp_path):
    path = tmp_path / "latin-1.txt"
    path.write_bytes(LATIN_1)
    return path


@pytest.mark.parametrize("dataset", ["perplexity", "evaluation_requests", "benign_requests", "safety_full"])
def test_data_in_another_encoding_are_told_with_their_line(bound, latin_1, tmp_path, dataset):
    words = refusal(bound, tmp_path / "runs", **{dataset: latin_1})
    assert f"{latin_1}:3: cannot be read: it is not UTF-8 (byte 25 of the file)" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LATIN_1, "items.jsonl:3: cannot be read: it is not UTF-8"),
        (b'{"query": "a", "choices": ["b", "c"], "gold": 0}\n{"query": \n', "items.jsonl:2: not JSON"),
        (b"", "items.jsonl: its items cannot be read as json"),
        (b'{"question": "a"}\n', "task.yaml: lm-eval cannot ask it"),
    ],
    ids=["another encoding", "no JSON", "nothing", "another column"],
)
def test_items_that_no_task_can_ask_are_told(bound, tmp_path, content, words):
    shipped = bound.path_of("tiny_facts")
    shutil.copy(shipped, tmp_path / "task.yaml")
    task = tmp_path / "task.yaml"
    task.write_text(task.read_text().replace("tiny_facts.jsonl", "items.jsonl"))
    (tmp_path / "items.jsonl").write_bytes(content)
    variant = bound.variant.model_copy(
        update={
            "zero_shot_tasks": ("tiny_facts",),
            "datasets": {**bound.variant.datasets, "tiny_facts": DatasetFile(path=str(task))},
        }
    )
    assert words in refusal(dataclasses.replace(bound, variant=variant), tmp_path / "runs")


def test_what_is_told_of_data_comes_at_once(bound, latin_1, tmp_path):
    task = tmp_path / "task.yaml"
    task.write_text(bound.path_of("tiny_facts").read_text())
    (tmp_path / "tiny_facts.jsonl").write_text("no JSON")
    files = {"perplexity": DatasetFile(path=str(latin_1)), "tiny_facts": DatasetFile(path=str(task))}
    variant = bound.variant.model_copy(update={"datasets": {**bound.variant.datasets, **files}})
    words = refusal(dataclasses.replace(bound, variant=variant), tmp_path / "runs")
    assert str(latin_1) in words
    assert "tiny_facts.jsonl" in words


def test_the_executor_of_these_tests_would_be_asked(bound, tmp_path):
    with pytest.raises(AssertionError, match="asked for"):
        run_benchmarks([bound], tmp_path, lambda _: "harness run", Silent(), LoadsNothing())
    assert hasattr(InProcess, "identify")
