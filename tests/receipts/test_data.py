"""Receipts of calibration data, on six pairs."""

import pytest
import torch

from harness.calibration.pairs import Sample, draw, read_pairs, tokenise
from harness.receipts.data import Draw, PlainSet, Tokens, declared_files, nothing_evaluated, read_plainly, same_samples
from harness.receipts.plain_prompts import Frame

FRAME = Frame("[INST] ", " [/INST]")


@pytest.fixture
def plain(loaded, pairs_csv):
    return read_plainly("safety", "pairs", pairs_csv, Draw(3, seed=1, skip=2), Tokens(loaded.tokenizer, (1,), 20))


@pytest.fixture
def used(loaded, pairs_csv):
    return tokenise(draw(read_pairs(pairs_csv), 3, seed=1, skip=2), loaded.tokenizer, 20)


def test_the_samples_of_the_harness_are_those_of_the_file_in_order(plain, used):
    found = tuple((tuple(s.input_ids.tolist()), tuple(s.labels.tolist())) for s in used)
    assert found == plain.sequences
    receipt = same_samples([plain], [used], [plain.file_sha256])
    assert receipt.holds
    assert receipt.evidence["truncated"] == plain.truncated == 1


def changed(samples, ids=None, labels=None):
    first = samples[0]
    return [Sample(first.input_ids if ids is None else ids, first.labels if labels is None else labels), *samples[1:]]


def test_other_tokens_other_labels_another_number_and_repeated_samples_are_told(plain, used):
    other = changed(used, ids=used[0].input_ids.flip(0))
    assert "1 are not among the 3" in same_samples([plain], [other], [plain.file_sha256]).words
    every_token = changed(used, labels=used[0].input_ids)
    assert not same_samples([plain], [every_token], [plain.file_sha256]).holds
    assert not same_samples([plain], [used[:2]], [plain.file_sha256]).holds
    assert "more than once" in same_samples([plain], [[used[0], used[0], used[2]]], [plain.file_sha256]).words


def test_a_file_that_changed_after_it_was_bound_is_told(plain, used):
    assert "has changed" in same_samples([plain], [used], ["0" * 64]).words


def plain_set(*prompts):
    return PlainSet("safety", "pairs", "", (), prompts[:1], prompts, 0)


EVALUATED = ["How do I fold a grumox?", "Tell me about tarrels."]


@pytest.mark.parametrize(
    ("prompts", "holds", "duplicates"),
    [
        (["[INST] How do I paint a chair? [/INST]"], True, 0),
        (["[INST] How do I fold a grumoy? [/INST]"], True, 1),
        (["[INST] how do I  fold a grumox? [/INST]"], False, 1),
        (["[INST] Fine. [/INST]", "[INST] Tell me about tarrels. [/INST]"], False, 0),
        (["[INST] Tell me about tarrels. And about dogs. [/INST]"], True, 1),
        (["USER: Tell me about tarrels. ASSISTANT:"], False, 1),
    ],
)
def test_a_leaked_request_is_one_whatever_its_case_and_frame_and_near_ones_are_counted(prompts, holds, duplicates):
    receipt = nothing_evaluated([plain_set(*prompts)], [], EVALUATED, [FRAME])
    assert (receipt.holds, receipt.evidence["near_duplicates"]) == (holds, duplicates)


def test_a_request_that_leaked_after_reading_is_found_among_the_samples_in_use():
    receipt = nothing_evaluated(
        [plain_set("[INST] Fine. [/INST]")], [f"[INST] {EVALUATED[0]} [/INST]"], EVALUATED, [FRAME]
    )
    assert (receipt.holds, receipt.evidence["in_use"], receipt.evidence["in_files"]) == (False, 1, 0)


def test_labels_are_on_the_response_only(plain, loaded):
    ids, labels = plain.sequences[0]
    kept = [token for token, label in zip(ids, labels, strict=True) if label != -100]
    assert loaded.tokenizer.decode(kept).strip() and torch.tensor(labels)[0] == -100


def test_a_benign_request_may_stand_in_a_file_but_not_be_drawn_or_used():
    """Those of the real models are of the authors' utility file, which stays as it was published."""
    prompts = ["[INST] How do I paint a chair? [/INST]", "[INST] Name a colour. [/INST]"]  # the first is drawn
    plain = [plain_set(*prompts)]
    assert nothing_evaluated(plain, prompts[:1], EVALUATED, [FRAME], ["Name a colour."]).holds
    used = nothing_evaluated(plain, prompts[1:], EVALUATED, [FRAME], ["Name a colour."])
    assert (used.holds, used.evidence["in_use"]) == (False, 1)
    drawn = nothing_evaluated(plain, [], EVALUATED, [FRAME], ["How do I paint a chair?"])
    assert (drawn.holds, drawn.evidence["in_files"]) == (False, 1)


def test_a_dataset_whose_file_is_that_of_another_is_named():
    declared = {"evaluation": "e" * 64, "attribution": "a" * 64, "own": None}
    assert declared_files({"evaluation": "e" * 64, "own": "x", "tasks/test": "y"}, declared).holds
    swapped = declared_files({"evaluation": "a" * 64}, declared)
    assert "'evaluation' is the file of 'attribution'" in swapped.words
    assert "'evaluation' is another file" in declared_files({"evaluation": "f" * 64}, declared).words
