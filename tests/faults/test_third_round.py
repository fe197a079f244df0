"""Faults that passed once: words that are lost before they are tokens, and steps that begin well; each is named now."""

import pytest

from harness.evaluations.zero_shot import _load_task
from harness.faults.seam import replaced
from tests.faults.conftest import bound_on
from tests.receipts.test_course import lose_one, of_later_steps, train_on_prompts
from tests.runs.conftest import run_in_process

SPEC = """
id: third-round
title: Once unseen
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
cells:
  - {id: intact, title: Intact}
  - id: lora
    title: LoRA
    fine_tuning: {method: lora, lora: {r: 4}, dataset: utility, examples: 16, epochs: 2, learning_rate: 0.01,
                  batch_size: 4, frozen: {select: top, method: wanda, data: safety, fraction: 0.03}}
evaluations:
  - {kind: zero_shot, limit: 5}
golden_values: none
"""
ORGANISMS = ["tiny-llama2-chat", "tiny-llama3-instruct"]


@pytest.fixture(autouse=True)
def tasks_loaded_anew():
    _load_task.cache_clear()
    yield
    _load_task.cache_clear()


@pytest.mark.parametrize("organism", ORGANISMS)
def test_without_a_fault_both_pass(tmp_path, organism):
    record, _ = run_in_process(bound_on(organism, tmp_path, SPEC, scaled=False), tmp_path / "runs")
    assert record.verdict.status == "passed", record.verdict.reasons
    items = next(receipt for receipt in record.cells[0].receipts if receipt.name == "zero-shot-accuracy")
    assert all(share.seen == share.of for share in items.looked_at)


def without_its_third_word(right):
    def ids(self, string, *rest, **options):
        words = string.split(" ")
        return right(self, " ".join(words[:2] + words[3:]) if len(words) > 4 else string, *rest, **options)

    return ids


def without_a_delimiter(right):
    def task(place):
        loaded = right(place)
        loaded.set_config("target_delimiter", "")
        return loaded

    return task


def asked_for_another_item(right):
    return lambda self, doc, *rest: right(self, self.eval_docs[0], *rest)


def lower_case(right):
    return lambda self, doc, *rest: right(self, doc, *rest).lower()


@pytest.mark.parametrize(
    ("target", "wrong", "cells", "by", "words"),
    [
        (
            "harness.evaluations._engine_language_model:EngineLanguageModel.tok_encode",
            without_its_third_word,
            ["intact"],
            "scorer/zero-shot-accuracy",
            "without their question or answer whole",
        ),
        (
            "harness.evaluations._local_tasks:local_task",
            without_a_delimiter,
            ["intact"],
            "scorer/zero-shot-accuracy",
            "that ask something else than its file",
        ),
        (
            "lm_eval.api.task:ConfigurableTask.doc_to_text",
            asked_for_another_item,
            ["intact"],
            "scorer/zero-shot-accuracy",
            "that ask something else than its file",
        ),
        (
            "lm_eval.api.task:ConfigurableTask.doc_to_text",
            lower_case,
            ["intact"],
            "scorer/zero-shot-accuracy",
            "that ask something else than its file",
        ),
        (
            "harness.finetuning.training:step_gradients",
            of_later_steps(lose_one),
            ["lora"],
            "weights/training-course",
            "gradients of",
        ),
        (
            "harness.finetuning.training:step_gradients",
            of_later_steps(train_on_prompts),
            ["lora"],
            "weights/training-course",
            "gradients of",
        ),
    ],
    ids=["a word", "delimiter", "another item", "lower case", "a gradient", "prompts"],
)
def test_a_fault_that_passed_once_is_caught_and_named(tmp_path, target, wrong, cells, by, words):
    with replaced(target, wrong):
        record, _ = run_in_process(bound_on(ORGANISMS[0], tmp_path, SPEC, set(cells), scaled=False), tmp_path / "runs")
    assert (record.verdict.status, record.verdict.exit_code) == ("invalid", 3)
    assert any(by in reason and words in reason for reason in record.verdict.reasons), record.verdict.reasons
