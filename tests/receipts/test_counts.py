from types import SimpleNamespace

from harness.engines.base import ScoredTokens, ScoreRequest
from harness.receipts.counts import PlainText, expected_items, perplexity_windows, zero_shot_items
from harness.receipts.observed_engine import Observed
from harness.spec.measurement import Measurement


def scored(*requests):
    return Observed(scored=[(request, ScoredTokens((-1.0,), (True,))) for request in requests])


def task(choices, metrics=("acc",)):
    return SimpleNamespace(
        eval_docs=list(range(len(choices))),
        doc_to_choice=lambda doc: choices[doc],
        aggregation=lambda: dict.fromkeys(metrics),
        config=SimpleNamespace(task="facts"),
    )


def test_items_and_answers_are_those_that_a_limit_leaves():
    choices = [["a", "b"], ["a", "b", "c"], ["a"]]
    assert expected_items([task(choices)], 2) == {"facts": (2, 5)}
    assert expected_items([task(choices)], None) == {"facts": (3, 6)}
    assert expected_items([task(choices, ("acc", "acc_mutual_info"))], 1) == {"facts": (1, 4)}


def test_another_number_of_items_or_answers_does_not_hold():
    def receipt(items, answers):
        found = [Measurement(metric="accuracy_facts", value=0.5, n=items)]
        requests = [ScoreRequest((1, 2), 1)] * answers
        return zero_shot_items("accuracy", {"facts": (2, 5)}, found, scored(*requests), 2)

    assert receipt(2, 5).holds
    assert "3 items of facts instead of 2" in receipt(3, 7).words
    assert "4 answers scored" in receipt(2, 4).words


def test_windows_are_whole_of_the_specs_length_and_from_the_start():
    tokens = [1, *range(10, 21)]

    def receipt(windows, n, limit=None):
        observed = scored(*(ScoreRequest(tuple(w), 1) for w in windows))
        return perplexity_windows(PlainText(tuple(tokens), (1,)), 5, limit, observed, n)

    whole = [tokens[:5], tokens[5:10]]
    assert receipt(whole, 2).holds
    assert receipt(whole[:1], 1, 1).holds
    assert "saw 1 of 10 tokens, counted as 1" in receipt([tokens[:10]], 1).words
    assert "as many windows of other tokens" in receipt([tokens[:5], tokens[6:11]], 2).words
    assert "without the BOS that it begins with" in receipt([tokens[1:6], tokens[6:11]], 2).words
    assert "with 1 more BOS" in receipt([tokens[:5], [1, *tokens[5:9]]], 2).words
    assert not receipt(whole, 3).holds
    assert not receipt([*whole, tokens[10:]], 3).holds
    assert not receipt([], 0).holds
