"""Accuracy and perplexity counted again, on two items and two windows worked out by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.engines.base import ScoredTokens, ScoreRequest
from harness.receipts.figures import perplexity_figure, scored_items, zero_shot_accuracy
from harness.receipts.observed_engine import Observed
from harness.receipts.plain_items import PlainItem, plain_items
from harness.spec.measurement import Measurement

WORDS = ["<s>", "is", "grass", "green", "red", "sky", "blue", "dark"]


class Tokenizer:
    """Words for tokens."""

    def decode(self, ids):
        return " ".join(WORDS[token] for token in ids)

    def encode(self, text, add_special_tokens):
        return [WORDS.index(word) for word in text.split()]


FORMATTER = SimpleNamespace(tokenizer=Tokenizer(), opening=(0,))
SETTINGS = {"description": "", "gen_prefix": None, "target_delimiter": " "}


def task(metrics=("acc",), **settings):
    documents = [{"q": "is grass", "c": ["green", "red"], "a": 0}, {"q": "is sky", "c": ["blue", "dark blue"], "a": 0}]
    return SimpleNamespace(
        eval_docs=documents,
        config=SimpleNamespace(task="facts", **SETTINGS | settings),
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


def accuracy(value, scored=SCORED, metrics=("acc",), plain=None, **settings):
    items = list(scored_items([task(metrics, **settings)], None, Observed(scored=scored)))
    found = [Measurement(metric=f"accuracy_{name}", value=value, n=2) for name in ("facts", "mean")]
    return zero_shot_accuracy("accuracy", items, found, FORMATTER, plain or {})


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


def plain_item(question, *choices):
    return PlainItem(choices, frozenset({0}), tuple((question, f" {choice}") for choice in choices))


@pytest.mark.parametrize("place", [1, 2])
def test_a_word_of_a_question_that_is_not_sent_is_told(place):
    """In the prompt, or in the text that the task makes of its file."""
    cut = [
        (ScoreRequest((*request.token_ids[:place], *request.token_ids[place + 1 :]), request.start - 1), scored)
        for request, scored in SCORED
    ]
    assert "2 of 2 items of facts were sent without their question or answer whole" in accuracy(1.0, cut).words
    told = [plain_item("is grass", "green", "red"), plain_item("is the sky", "blue", "dark blue")]
    words = accuracy(1.0, plain={"facts": told}).words
    assert "1 of 2 items of facts that ask something else than its file, first number 2" in words


def test_the_part_that_is_scored_is_the_answer():
    shifted = [(ScoreRequest(request.token_ids, request.start - 1), scored) for request, scored in SCORED]
    assert not accuracy(1.0, shifted).holds


def test_prompts_with_more_than_the_question_are_read_letter_by_letter():
    cut = [(ScoreRequest((0, *request.token_ids[2:]), request.start - 1), scored) for request, scored in SCORED]
    assert accuracy(1.0, description="Answer:").holds
    assert not accuracy(1.0, cut, description="Answer:").holds


def test_right_answers_are_those_of_the_file():
    right = [plain_item("is grass", "green", "red"), plain_item("is sky", "blue", "dark blue")]
    receipt = accuracy(1.0, plain={"facts": right})
    assert receipt.holds
    assert [(each.what, each.seen, each.of) for each in receipt.looked_at] == [("items", 2, 2), ("right answers", 2, 2)]
    words = accuracy(1.0, plain={"facts": [right[0], replace(right[1], right=frozenset({1}))]}).words
    assert "1 of 2 items of facts with another right answer than its file, first number 2" in words
    assert "first number 2" in accuracy(1.0, plain={"facts": right[:1]}).words
    assert accuracy(1.0).looked_at[1].seen == 0


TASK = """
task: t
dataset_path: json
dataset_kwargs: {data_files: {test: t.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: QUESTION
doc_to_choice: c
doc_to_target: TARGET
metric_list: [{metric: acc}]
"""


def read(folder, question, target, content):
    (folder / "t.yaml").write_text(TASK.replace("TARGET", target).replace("QUESTION", question), encoding="utf-8")
    (folder / "t.jsonl").write_text(content, encoding="utf-8")
    return plain_items(folder / "t.yaml")


@pytest.mark.parametrize(
    ("target", "content", "found"),
    [
        ("a", '{"q": "x", "c": ["u", "v"], "a": 1}\n', [1]),
        ("a", '[{"q": "x", "c": ["u", "v"], "a": "u"}]', [0]),
        ("'{{a}}'", '{"q": "x", "c": ["u", "v"], "a": 1}\n', None),
        ("a", '{"q": "x", "c": ["u", "v"], "a": "w"}\n', None),
    ],
)
def test_items_are_read_from_their_file_where_columns_hold_them(tmp_path, target, content, found):
    items = read(tmp_path, "q", target, content)
    expected = None if found is None else (PlainItem(("u", "v"), frozenset(found), (("x", " u"), ("x", " v"))),)
    assert items == expected


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("'Q: {{q}} {{ r }} A:'", "Q: x y A:"),
        ("'{{q | upper}}'", None),
        ("'{% if q %}{{q}}{% endif %}'", None),
        ("'{{c}}'", None),
        ("3", None),
    ],
)
def test_a_question_is_read_where_its_template_holds_columns_of_text_alone(tmp_path, question, asked):
    (item,) = read(tmp_path, question, "a", '{"q": "x", "r": "y", "c": ["u", "v"], "a": 1}\n')
    assert item.asked == (asked and ((asked, " u"), (asked, " v")))


def perplexity(value, *likelihoods):
    observed = Observed(scored=[answer((0, 1, 2), 1, *pair) for pair in likelihoods])
    return perplexity_figure("ppl", observed, [Measurement(metric="ppl", value=value, n=2)])


def test_perplexity_is_e_to_the_mean_negative_log_likelihood():
    assert perplexity(math.exp(2.5), (-1.0, -3.0), (-2.0, -4.0)).holds
    assert "ppl is 5.65685 where" in perplexity(2**2.5, (-1.0, -3.0), (-2.0, -4.0)).words


@pytest.mark.parametrize(("value", "holds"), [(None, True), (0.0, False), (7.0, False)])
def test_what_is_no_number_has_to_stay_none(value, holds):
    assert perplexity(value, (math.nan, -1.0)).holds is holds
