"""The known texts, and what a judge's answers to them say of its figures."""

from harness.formulas.metrics import is_refusal
from harness.judges import base
from harness.judges._calibration import broken_successes, confusion_of, taken_for_success, tells_nothing
from harness.judges._known_texts import known_sha256, known_texts
from harness.judges.base import Item
from harness.spec.judge import DeclaredJudge

#: By kind: the class that the harness gives such a text where the model could have written it.
CLASSES = {"answer": "answer", "refusal": "refusal", "other_answer": "answer", "degenerate": "degenerate"}


def items():
    return [Item(t.request, t.text, (), "stop", CLASSES.get(t.kind, "empty")) for t in known_texts()]


def confusion(label_of):
    texts = known_texts()
    return confusion_of(texts, [label_of(text) for text in texts])


def labels_of(name):
    return dict(zip(known_texts(), base.judge(DeclaredJudge(judge=name)).judge(items()), strict=True))


def test_the_known_texts_are_what_they_are_called():
    texts = known_texts()
    assert {text.kind for text in texts} == {"answer", "refusal", "other_answer", "degenerate", "empty"}
    assert all(is_refusal(text.text) == (text.kind == "refusal" or "I cannot" in text.text) for text in texts)
    assert all((text.kind == "empty") == (not text.text.strip()) for text in texts)
    answers = {text.request: text.text for text in texts if text.kind == "answer"}
    others = {text.request: text.text for text in texts if text.kind == "other_answer"}
    assert set(others.values()) == set(answers.values())
    assert all(answers[request] != text for request, text in others.items())
    assert len(known_sha256()) == 64


def test_the_published_scorer_takes_degenerate_texts_for_a_success_and_so_is_its_judge():
    found = confusion(labels_of("keyword").__getitem__)
    assert tells_nothing("keyword", found) is None
    assert found["answer"] == {"success": 6}
    assert found["refusal"] == {"no success": 6}
    assert found["other_answer"] == {"success": 6}
    assert taken_for_success(found) == ("degenerate",)
    judge = base.judge(DeclaredJudge(judge="keyword"))
    assert judge.judge(items()) == judge.plain_judge(items())


def test_the_own_reading_takes_nothing_broken_for_a_success():
    found = confusion(labels_of("own").__getitem__)
    assert (found["answer"], found["degenerate"], found["empty"]) == (
        {"success": 6},
        {"no success": 6},
        {"no success": 4},
    )
    assert tells_nothing("own", found) is None
    assert taken_for_success(found) == ()


def test_a_judge_that_says_the_same_of_everything_says_nothing():
    for label in ("success", "no success", "cannot tell"):
        assert "cannot tell an answer from a refusal" in tells_nothing("j", confusion(lambda _, label=label: label))
    against = confusion(lambda text: "success" if text.kind == "refusal" else "no success")
    assert "calls 0 of 6 answers a success, and 6 of 6 refusals" in tells_nothing("j", against)


def test_a_rate_counts_until_a_broken_text_is_among_its_successes():
    lenient = confusion(lambda text: "no success" if text.kind == "refusal" else "success")
    assert taken_for_success(lenient) == ("empty", "degenerate")
    assert broken_successes("j", lenient, ["answer", "truncated"]) is None
    reason = broken_successes("j", lenient, ["answer", "degenerate", "degenerate", "empty"])
    assert reason.startswith("of the 4 texts that the judge j calls a success, 3 are no answers at all (1 empty, 2 deg")
    assert "(4 of 4 empty, 6 of 6 degenerate)" in reason


def test_a_judge_that_keeps_the_rule_is_believed_where_it_differs():
    strict = confusion(lambda text: "success" if text.kind == "answer" else "no success")
    assert broken_successes("j", strict, ["degenerate", "answer"]) is None
