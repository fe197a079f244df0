"""Faults in data, prompts, scores and masks, each put into a real run on an organism."""

import pytest

from harness.errors import UserError
from harness.faults.catalogue import find_fault
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

#: Each fault, the cells in which it is to be seen, and words that tell it from the others.
IN_A_RECEIPT = {
    "one_sweep": (["snip-set-difference"], "in one sweep"),
    "scores_negated": (["snip-set-difference", "wanda-top", "block-by-block"], "opposite sign"),
    "safety_and_utility_swapped": (["snip-set-difference"], "they are those of utility"),
    "mask_transposed": (["snip-set-difference", "wanda-top"], "transposed"),
    "mask_of_another_layer": (["snip-set-difference", "wanda-top"], "the mask is that of model.layers."),
    "row_for_matrix": (["block-by-block"], "compared over each row"),
    "tokenizer_of_another_revision": (["intact"], "not those of the model's files"),
    "bos_missing": (["intact"], "without any"),
    "bos_twice": (["intact"], "two or more"),
    "template_of_another_family": (["intact"], "otherwise, such as one that begins"),
    "system_prompt_lost": (["intact"], "in 0 of 6, expected 6"),
    "sums_in_bfloat16": (["snip-set-difference"], "bfloat16"),
    "evaluation_requests_leaked": (["snip-set-difference", "wanda-top"], "among the samples in use"),
}


def broken(record):
    return {cell.id: {f"{r.stage}/{r.name}": r.words for r in cell.receipts if not r.holds} for cell in record.cells}


def test_without_a_fault_every_receipt_holds(organism, tmp_path):
    record, _ = run_in_process(bound_on(organism, tmp_path), tmp_path)
    assert not any(broken(record).values()), broken(record)
    assert record.verdict.status == "passed", record.verdict.reasons
    stages = {cell.id: {receipt.stage for receipt in cell.receipts} for cell in record.cells}
    assert stages["intact"] >= {"prompts"}
    assert all(stages[cell] >= {"data", "prompts", "scores", "mask"} for cell in stages if cell != "intact")


@pytest.mark.parametrize("name", IN_A_RECEIPT)
def test_a_fault_makes_the_run_invalid_and_is_named(name, tmp_path):
    fault, (cells, words) = find_fault(name), IN_A_RECEIPT[name]
    bound = bound_on("tiny-llama2-chat", tmp_path, cells=cells)
    with fault.injected():
        record, _ = run_in_process(bound, tmp_path)
    assert (record.verdict.status, record.verdict.exit_code) == ("invalid", 3)
    found = broken(record)
    for cell in cells:
        right = {said: text for said, text in found[cell].items() if said in fault.caught_by}
        assert right, found[cell]
        assert any(words in text for text in right.values()), right
        assert not any(m.valid for m in record.cell(cell).measurements)
    assert any(words in reason for reason in record.verdict.reasons)


def test_the_tokenizer_of_another_model_is_refused_before_anything_is_measured(tmp_path):
    bound = bound_on("tiny-llama2-chat", tmp_path, cells=())
    with find_fault("tokenizer_of_another_model").injected(), pytest.raises(UserError, match="revision"):
        run_in_process(bound, tmp_path)
