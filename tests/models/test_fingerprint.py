"""A tokenizer is another one if it splits otherwise, even where no probe text shows it."""

import json

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from harness.models.fingerprint import tokenizer_fingerprint
from tests.conftest import make_tokenizer


def changed(change):
    """The test's tokenizer after its JSON was changed."""
    rules = json.loads(make_tokenizer().backend_tokenizer.to_str())
    change(rules)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(rules)), bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def swap_last_merges(rules):
    merges = rules["model"]["merges"]
    merges[-1], merges[-2] = merges[-2], merges[-1]


def test_merges_in_another_order_give_another_fingerprint_though_the_vocabulary_is_the_same():
    before, after = make_tokenizer(), changed(swap_last_merges)
    assert before.get_vocab() == after.get_vocab()
    assert tokenizer_fingerprint(before) != tokenizer_fingerprint(after)
    assert tokenizer_fingerprint(before) == tokenizer_fingerprint(changed(lambda rules: None))


def test_what_a_call_leaves_behind_changes_nothing():
    tokenizer = make_tokenizer()
    before = tokenizer_fingerprint(tokenizer)
    tokenizer(["the cat", "a"], padding=True, truncation=True, max_length=2)
    assert tokenizer_fingerprint(tokenizer) == before
