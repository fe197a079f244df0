"""Accuracy and perplexity counted again, on two items and two windows worked out by hand."""

import math
from types import SimpleNamespace

import pytest

from harness.engines.base import ScoredTokens, ScoreRequest
from harness.receipts.figures import perplexity_figure, scored_items, zero_shot_accuracy
from harness.receipts.observed_engine import Observed
from harness.receipts.plain_items import plain_items
from harness.spec.measurement import Measurement

WORDS = ["<s>", "is", "grass", "green", "red", "sky", "blue", "dark"]


class Tokenizer:
    """Words for tokens."""

    def decode(self, ids):
        return " ".join(WORDS[token] for token in ids)


TOKENIZER = Tokenizer()


def task(metrics=("acc",)):
    documents = [{"q": "is grass", "c": ["green", "red"], "a": 0}, {"q": "is sky", "c": ["blue", "dark blue"], "a": 0}]
    return SimpleNamespace(
        eval_docs=documents,
        config=SimpleNamespace(task="facts"),
        aggregation=lambda: dict.fromkeys(metrics),
        doc_to_choice=lambda each: each["c"],
        doc_to_text=lambda each: each["q"],
        doc_to_target=lambda each: each["a"],
    )


def answer(ids, start, *likelihoods):
    return ScoreRequest(tuple(ids), start), ScoredTokens(likelihoods, (True,) * len(likelihoods))


#: The first answer is right. Of the second item `blue` has -2, `dark blue` -3: by length it would be wrong.
SCORED = [
    answer((0, 1, 2, 3), 3, -1.0),
    answer((0, 1, 2, 4), 3, -4.0),
    answer((0, 1, 5, 6), 3, -2.0),
    answer((0, 1, 5, 7, 6), 3, -1.5, -1.5),
]


def accuracy(value, scored=SCORED, metrics=("acc",), plain=None):
    items = list(scored_items([task(metrics)], None, Observed(scored=scored)))
    found = [Measurement(metric=f"accuracy_{name}", value=value, n=2) for name in ("facts", "mean")]
    return zero_shot_accuracy("accuracy", items, found, TOKENIZER, plain or {})


def test_accuracy_is_that_of_the_likeliest_answers():
    assert accuracy(1.0).holds
    assert "accuracy_facts is 0.5 where the engine's likelihoods give 1" in accuracy(0.5).words


def test_unconditional_likelihoods_are_skipped():
    twice = [*SCORED[:2], *SCORED[:2], *SCORED[2:], *SCORED[2:]]
    assert accuracy(1.0, twice, ("acc", "acc_mutual_info")).holds


def test_an_item_without_its_question_is_told():
    bare = [(ScoreRequest((0, *request.token_ids[request.start :]), 1), scored) for request, scored in SCORED]
    assert "2 of 2 items of facts were sent without their question or answer whole, first number 1" in (
        accuracy(1.0, bare).words
    )
    assert "1 of 2 items of facts were sent without their question or answer whole, first number 2" in (
        accuracy(1.0, [*SCORED[:2], *bare[2:]]).words
    )


def test_right_answers_are_those_of_the_file():
    right = [(("green", "red"), frozenset({0})), (("blue", "dark blue"), frozenset({0}))]
    receipt = accuracy(1.0, plain={"facts": right})
    assert receipt.holds
    assert [(each.what, each.seen, each.of) for each in receipt.looked_at] == [("items", 2, 2), ("right answers", 2, 2)]
    words = accuracy(1.0, plain={"facts": [right[0], (right[1][0], frozenset({1}))]}).words
    assert "1 of 2 items of facts with another right answer than its file, first number 2" in words
    assert "first number 2" in accuracy(1.0, plain={"facts": right[:1]}).words
    assert accuracy(1.0).looked_at[1].seen == 0


TASK = """
task: t
dataset_path: json
dataset_kwargs: {data_files: {test: t.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: q
doc_to_choice: c
doc_to_target: TARGET
metric_list: [{metric: acc}]
"""


@pytest.mark.parametrize(
    ("target", "content", "found"),
    [
        ("a", '{"q": "x", "c": ["u", "v"], "a": 1}\n', ((("u", "v"), frozenset({1})),)),
        ("a", '[{"q": "x", "c": ["u", "v"], "a": "u"}]', ((("u", "v"), frozenset({0})),)),
        ("'{{a}}'", '{"q": "x", "c": ["u", "v"], "a": 1}\n', None),
        ("a", '{"q": "x", "c": ["u", "v"], "a": "w"}\n', None),
    ],
)
def test_items_are_read_from_their_file_where_columns_hold_them(tmp_path, target, content, found):
    (tmp_path / "t.yaml").write_text(TASK.replace("TARGET", target), encoding="utf-8")
    (tmp_path / "t.jsonl").write_text(content, encoding="utf-8")
    assert plain_items(tmp_path / "t.yaml") == found


def perplexity(value, *likelihoods):
    observed = Observed(scored=[answer((0, 1, 2), 1, *pair) for pair in likelihoods])
    return perplexity_figure("ppl", observed, [Measurement(metric="ppl", value=value, n=2)])


def test_perplexity_is_e_to_the_mean_negative_log_likelihood():
    assert perplexity(math.exp(2.5), (-1.0, -3.0), (-2.0, -4.0)).holds
    assert "ppl is 5.65685 where" in perplexity(2**2.5, (-1.0, -3.0), (-2.0, -4.0)).words


@pytest.mark.parametrize(("value", "holds"), [(None, True), (0.0, False), (7.0, False)])
def test_what_is_no_number_has_to_stay_none(value, holds):
    assert perplexity(value, (math.nan, -1.0)).holds is holds
