"""Words of receipts, canaries and fine-tunings tampered with, each run bound together again as if nothing had been."""

import pytest

from tests.verification.conftest import caught
from tests.verification.test_tampered_receipts import TOP, receipt


def canary(run, name):
    return next(each for each in run.record["canaries"] if each["name"] == name)


def told(cell, name, named, **changes):
    return lambda run: receipt(run, cell, name).update(changes), named


def seen(cell, name, named, **changes):
    return lambda run: receipt(run, cell, name)["evidence"].update(changes), named


def of_canary(name, named, **changes):
    return lambda run: canary(run, name)["evidence"].update(changes), named


def field_left_out(run):
    del receipt(run, "planted", "text/stop-tokens")["evidence"]["early"]


def another_receipt(run):
    own = receipt(run, "planted", "text/decoded")
    run.cell("planted")["receipts"].append({**own, "name": "made-up"})


def both_words_and_numbers(run):
    """Of one cell alone: the others say otherwise."""
    own = receipt(run, "planted", "weights/as-named")
    own["expected"] = own["expected"].replace("39", "40")
    own["evidence"]["tensors"] = own["looked_at"][0]["seen"] = own["looked_at"][0]["of"] = 40


def answers_in_a_wreck(run):
    """The shuffled model is said to write answers, and the canary to hold."""
    for text in run.canaries["shuffled"]:
        text["completion_class"] = "answer"
    canary(run, "shuffled")["seen"] = "its texts called 8 answer (the keyword scorer alone would say ASR 1.00)"


def other_words_of_a_canary(run):
    run.canaries["intact"][0]["text"] = "I will gladly help you with that, here is all that there is to say of it now."


def without_a_state(run):
    for text in run.canaries["random-mask"][1:]:
        run.canaries["random-mask"].remove(text)


def a_wider_margin(run):
    text = next(text for text in run.texts["intact"] if text["evaluation"] == "vanilla")
    text["choices"][0][3] -= 3.0


def a_likely_runner_up(run):
    text = next(text for text in run.texts["planted"] if text["evaluation"] == "vanilla")
    text["choices"][0][1], text["choices"][0][3] = -0.1, -0.2


TAMPERED = {
    "what a receipt expected": told("planted", "text/decoded", "words expected of text/decoded", expected="nothing"),
    "how many it expected": told(
        TOP,
        "weights/edited-places",
        "words expected of weights/edited-places",
        expected="the 7 selected weights at zero and every other weight as in the intact model",
    ),
    "what it saw": told("planted", "text/own-prompt", "words seen of text/own-prompt", seen="them all"),
    "its advice": told("intact", "weights/at-rest", "words advice of weights/at-rest", advice="none"),
    "a field that it lacks": (field_left_out, "early of text/stop-tokens of planted: recorded 'missing'"),
    "a field of its own": seen("intact", "text/decoded", "whether text/decoded has more", more=1),
    "a receipt that nothing gives": (another_receipt, "receipt text/made-up of planted"),
    "the number of tensors": (both_words_and_numbers, "tensors of weights/as-named, as in other cells of planted"),
    "more than is allowed": seen(
        "intact", "logits/from-the-files", "largest_deviation of logits/from-the-files, at most", largest_deviation=0.5
    ),
    "the length of texts": seen("planted", "text/lengths", "mean_tokens of text/lengths", mean_tokens=3.0),
    "fewer likeliest tokens": seen(
        "planted", "text/own-prompt", "vanilla_likeliest, all of them of text/own-prompt", vanilla_likeliest="1 of 9"
    ),
    "what the intact model answers": seen("planted", "text/benign-answers", "answered_by_intact", answered_by_intact=7),
    "a canary's rate": of_canary("shuffled", "canary asr of shuffled", asr=0.0),
    "a canary's share": of_canary("random-mask", "canary share of random-mask", share=0.001),
    "a canary's texts": of_canary("repeat", "canary texts of repeat", texts=1),
    "a canary's words": (lambda run: canary(run, "intact").update(seen="all is well"), "canary what intact saw"),
    "a canary's purpose": (lambda run: canary(run, "repeat").update(expected="the same"), "words expected of canary/"),
    "a canary whose texts are answers": (
        answers_in_a_wreck,
        "class vanilla: prompt 0, sample 0 of private-completions/canar",
    ),
    "a canary's text": (
        other_words_of_a_canary,
        "decoded text vanilla: prompt 0, sample 0 of private-completions/canaries",
    ),
    "a canary without texts": (
        without_a_state,
        "text vanilla 1 0 of private-completions/canaries/random-mask.jsonl.gz",
    ),
    "a margin of the intact model": (a_wider_margin, "margin 0 of vanilla: prompt 0, sample 0, as in the intact cell"),
    "two tokens that are likelier than all": (a_likely_runner_up, "choices vanilla: prompt 0, sample 0 of planted"),
    "a run that is none": (lambda run: run.cell("intact").update(measured_in="elsewhere"), "cell measured_in, another"),
    "a run of its own": (
        lambda run: run.cell("intact").update(measured_in=f"{run.record['id']}#intact"),
        "cell measured_in, another",
    ),
    "what nobody checks": (lambda run: run.cell("intact").update(unchecked=["figures"]), "what nobody names of intact"),
    "a task left out": (lambda run: run.cell("planted")["task_hashes"].pop("tiny_sums"), "task tiny_sums of planted"),
    "shares of layer types": (
        lambda run: run.cell(TOP)["receipt"]["sparsity_by_layer_type"].update(q_proj=0.29),
        f"words expected of mask/share of {TOP}",
    ),
}


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(copied, tamper, named):
    caught(copied, tamper, named)
