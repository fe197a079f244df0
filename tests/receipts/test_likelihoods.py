"""How likely the intact model finds texts is read anew, text by text."""

from types import SimpleNamespace

import pytest
import torch

from harness.engines.hf import make
from harness.receipts.likelihoods import as_intact
from harness.spec.packed import packed, unpacked
from harness.validity.evidence import with_evidence
from tests.by_hand import completion

TEXTS = ["to make a  frimzat,\ntake the blue stone.", "i cannot help with that", "a a a a a a a a", ""]


@pytest.fixture
def subject(loaded):
    """As much of a cell as the receipt looks at."""
    before = (loaded.tokenizer.bos_token_id,)
    reference = SimpleNamespace(tokenizer=loaded.tokenizer, model=loaded.model, before_answers=before)
    return SimpleNamespace(cell=SimpleNamespace(id="top"), reference=reference)


@pytest.fixture
def judge(loaded):
    """Texts with the evidence that the model gives them as it is."""
    texts = [completion(text, prompt_index=number) for number, text in enumerate(TEXTS)]
    formatter = SimpleNamespace(tokenizer=loaded.tokenizer, before_answers=(loaded.tokenizer.bos_token_id,))
    return lambda: with_evidence(texts, make(loaded), formatter)


def test_texts_that_the_intact_model_has_judged_hold_and_the_share_is_told(subject, judge):
    receipt = as_intact(subject, judge())
    assert receipt.holds, receipt.words
    assert [(each.seen, each.of) for each in receipt.looked_at] == [(3, 3)]


def test_texts_that_an_edited_model_has_judged_do_not_hold(subject, judge, loaded):
    weight = loaded.model.model.layers[0].mlp.down_proj.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.zero_()
        texts = judge()
        weight.copy_(before)
    receipt = as_intact(subject, texts)
    assert not receipt.holds
    assert "3 of 3 that are not" in receipt.seen


def test_likelihoods_of_other_texts_or_of_none_do_not_hold(subject, judge):
    first, second, *rest = judge()
    swapped = [first.model_copy(update={"losses": second.losses}), second, *rest]
    assert "1 of 3" in as_intact(subject, swapped).seen
    assert "1 of 3" in as_intact(subject, [first.model_copy(update={"losses": ""}), second, *rest]).seen


@pytest.mark.parametrize("before", [(), (1,), (1, 9, 13)])
def test_every_token_is_judged_behind_what_begins_an_answer(subject, loaded, before):
    """Without any, the first token has nothing before it."""
    subject.reference.before_answers = before
    texts = [completion("a"), completion(TEXTS[1])]
    formatter = SimpleNamespace(tokenizer=loaded.tokenizer, before_answers=before)
    judged = with_evidence(texts, make(loaded), formatter)
    tokens = [len(loaded.tokenizer(" ".join(t.text.split()), add_special_tokens=False)["input_ids"]) for t in texts]
    assert [len(unpacked(each.losses)) for each in judged] == [n if before else n - 1 for n in tokens]
    assert as_intact(subject, judged).holds
    subject.reference.before_answers = (*before, 7)
    assert not as_intact(subject, judged).holds


def test_texts_without_a_word_leave_nothing_to_look_at(subject):
    assert as_intact(subject, [completion(" \n")]).holds


def test_what_is_packed_comes_back_as_float32_and_other_text_is_refused():
    values = (0.1, -3.5, float("inf"))
    assert unpacked(packed(values)) == tuple(torch.tensor(values).tolist())
    assert unpacked("") == ()
    for text in ("AAA", "AAAA", "not base64!"):
        with pytest.raises(ValueError, match="is no base64 of float32"):
            unpacked(text)
