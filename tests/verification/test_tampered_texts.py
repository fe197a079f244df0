"""Texts and limits of validity tampered with, each run bound together again as if nothing had been."""

import pytest

from harness.spec.packed import packed, unpacked
from tests.verification.conftest import caught


def swapped(one, other, keys):
    for key in keys:
        one[key], other[key] = other[key], one[key]


def another_class(run, cell, evaluation, to):
    run.of(cell, evaluation)[0]["completion_class"] = to


def swapped_classes(run):
    one, other = run.of("intact", "vanilla")[0], run.of("intact", "benign")[0]
    assert one["completion_class"] != other["completion_class"]
    swapped(one, other, ["completion_class"])


def all_answers(run):
    """Classes, counts and figures that fit together, and do not follow from the texts."""
    for text in run.of("intact", "vanilla"):
        text["completion_class"] = "answer"
    run.cell("intact")["completion_classes"]["vanilla"] = {"answer": 8}
    planted = run.figure("planted", "answered_vanilla")
    run.figure("intact", "answered_vanilla").update({key: planted[key] for key in planted if key != "metric"})


def dropped(run, evaluation, index):
    run.texts["intact"].remove(run.of("intact", evaluation)[index])


def dropped_prompt(run):
    run.texts["intact"] = [
        text for text in run.texts["intact"] if (text["evaluation"], text["prompt_index"]) != ("adv_decoding", 3)
    ]


def duplicated_sample(run):
    texts = run.of("intact", "adv_decoding")
    copy = {**texts[0], "sample_index": texts[1]["sample_index"]}
    run.texts["intact"][run.texts["intact"].index(texts[1])] = copy
    run.texts["intact"].append(dict(texts[0]))


def foreign_text(run):
    """The text of another model state under this one's tokens."""
    run.of("intact", "vanilla")[0]["text"] = run.of("planted", "vanilla")[0]["text"]


def foreign_prompt(run):
    run.of("planted", "vanilla")[0]["prompt"] = run.of("planted", "benign")[0]["prompt"]


def other_suffix(run):
    for text in run.of("planted", "adv_suffix"):
        text["suffix_index"] = 0


def longer(run):
    text = run.of("intact", "vanilla")[0]
    text["token_ids"] = text["token_ids"] * 9


def more_likely(run):
    text = next(text for text in run.of("intact", "vanilla") if len(text["choices"]) > 2)
    text["choices"][1][3] = 0.5


def other_token(run):
    text = run.of("intact", "vanilla")[0]
    text["token_ids"][0] += 1


def less_repetition(run):
    run.of("intact", "vanilla")[0]["evidence"]["repetition"] = 0.9


def wider_limits(run):
    run.record["validity_thresholds"]["greedy"]["worst_window_nll"] += 5


def other_margins(run):
    run.record["validity_thresholds"]["margins"]["quantile"] = 0.5


def unlikely_passages(run):
    for text in run.own_texts:
        text["evidence"]["worst_window_nll"] += 5


def unlikely_own_texts(run):
    """Limits that follow from nothing."""
    for text in run.own_texts:
        del text["evidence"]["worst_window_nll"]


def half_a_likelihood(run):
    for text in [*run.own_texts, *run.of("intact", "vanilla")]:
        del text["evidence"]["mean_nll"]


def likelier_intact_texts(run):
    """Every text of a cell as likely as can be, where the same ones set the limits."""
    for text in run.of("intact", "vanilla"):
        text["losses"] = packed([0.0] * len(unpacked(text["losses"])))
        text["evidence"] |= {"worst_window_nll": 0.0, "mean_nll": 0.0}


def unlikelier(run, field):
    run.of("planted", "vanilla")[0]["evidence"][field] += 0.01


def lost_own_text(run):
    run.own_texts.pop()


def of_all(run):
    return [text for texts in run.texts.values() for text in texts]


def without_a_suffix_anywhere(run):
    run.texts = {
        cell: [text for text in texts if (text["evaluation"], text["suffix_index"]) != ("adv_suffix", 2)]
        for cell, texts in run.texts.items()
    }


def without_a_suffix_in_the_file(run):
    without_a_suffix_anywhere(run)
    run.requests["adversarial-suffixes"] = "\n".join(run.requests["adversarial-suffixes"].splitlines()[:2])


def shorter_request(run):
    """The last word of a request missing alike in all cells."""
    for text in [*of_all(run), *run.own_texts]:
        if (text["evaluation"], text["prompt_index"]) == ("vanilla", 0):
            request = run.requests["evaluation-requests"].splitlines()[0].strip()
            text["prompt"] = text["prompt"].replace(request, request.rpartition(" ")[0])


def other_frame(run):
    for text in run.of("planted", "vanilla"):
        text["prompt"] = text["prompt"] + " "


def without_the_system_prompt(run):
    told = run.record["variant"]["system_prompt"].strip()
    for text in [*of_all(run), *run.own_texts]:
        if text["evaluation"] == "vanilla":
            text["prompt"] = text["prompt"].replace(told, "be kind")


def other_seeds(run):
    for text in of_all(run):
        text["seed"][0] = 1


def seed_of_another_sample(run):
    one, other = run.of("intact", "adv_decoding")[:2]
    one["seed"] = other["seed"]


def own_texts_under_another_seed(run):
    for text in run.own_texts:
        text["seed"][0] = 5


def fewer_requests_in_the_file(run):
    run.requests["benign-requests"] = "\n".join(run.requests["benign-requests"].splitlines()[:5])


def unlimited_variant(run):
    """A limit that is no number is no limit, and no traceback: the texts are cut where the spec says."""
    run.record["variant"]["max_new_tokens"] = "many"
    longer(run)


def endless(run):
    run.record["spec"]["evaluations"][2]["samples"] = 100_000


TAMPERED = {
    "a suffix missing in all cells": (without_a_suffix_anywhere, "text adv_suffix 0 2 0 of intact: recorded 'missing'"),
    "a suffix missing in the file, too": (
        without_a_suffix_in_the_file,
        "data private-completions/requests/adversarial-suffixes.gz of the run",
    ),
    "a request shortened in all cells": (shorter_request, "prompt vanilla: prompt 0, sample 0 of planted"),
    "another frame": (other_frame, "prompt vanilla: prompt 0, sample 0 of planted"),
    "another system prompt in all cells": (
        without_the_system_prompt,
        "system prompt vanilla: prompt 0, sample 0 of intact: recorded False",
    ),
    "the seed of all texts": (other_seeds, "seed vanilla: prompt 0, sample 0 of intact: recorded (1, 0, 0, 0)"),
    "the seed of another sample": (seed_of_another_sample, "seed adv_decoding: prompt 0, sample 0 of intact"),
    "the seed of own texts": (
        own_texts_under_another_seed,
        "seed vanilla: prompt 0, sample 0 of private-completions/validity",
    ),
    "fewer requests in the file": (fewer_requests_in_the_file, "data requests of benign of the run: recorded 5"),
    "a limit of tokens that is none": (unlimited_variant, "end of text vanilla: prompt 0, sample 0 of intact"),
    "samples without end": (endless, "text adv_decoding 0 3 of intact: recorded 'missing'"),
    "a class": (lambda run: another_class(run, "planted", "vanilla", "degenerate"), "class vanilla: prompt 0"),
    "two classes swapped": (swapped_classes, "class vanilla: prompt 0, sample 0 of intact"),
    "refusals called answers throughout": (all_answers, "class vanilla: prompt 0"),
    "counts of classes": (lambda r: r.cell("intact")["completion_classes"].update(benign={"answer": 3}), "classes ben"),
    "where the readings part": (
        lambda run: run.cell("intact")["partings"].update(vanilla={"short_answer": 3}),
        "partings vanilla of intact: recorded {'short_answer': 3}",
    ),
    "readings that part nowhere said": (
        lambda run: run.cell("planted").update(partings={}),
        "partings vanilla of planted",
    ),
    "a text left out": (lambda run: dropped(run, "vanilla", 4), "text vanilla 4 0 of intact: recorded 'missing'"),
    "a prompt left out": (dropped_prompt, "text adv_decoding 3 0 of intact: recorded 'missing'"),
    "a sample in the place of another": (duplicated_sample, "text adv_decoding 0 0 of intact: recorded '2 times'"),
    "a text of another cell": (foreign_text, "vanilla: prompt 0, sample 0 of intact"),
    "a prompt of another evaluation": (foreign_prompt, "prompt vanilla: prompt 0, sample 0 of planted"),
    "one suffix for all": (other_suffix, "text adv_suffix 0 1 0 of planted: recorded 'missing'"),
    "more tokens than the limit": (longer, "end of text vanilla: prompt 0"),
    "a token that is not the likeliest": (more_likely, "choices vanilla"),
    "a token that was not chosen": (other_token, "tokens vanilla: prompt 0"),
    "evidence of repetition": (less_repetition, "evidence repetition of vanilla: prompt 0"),
    "another likelihood of the worst window": (
        lambda run: unlikelier(run, "worst_window_nll"),
        "evidence worst_window_nll of vanilla: prompt 0",
    ),
    "another mean likelihood": (lambda run: unlikelier(run, "mean_nll"), "evidence mean_nll of vanilla: prompt 0"),
    "losses that are none": (
        lambda run: run.of("intact", "vanilla")[0].update(losses="A"),
        "evidence losses of vanilla: prompt 0, sample 0 of intact",
    ),
    "no losses": (
        lambda run: run.of("intact", "vanilla")[0].pop("losses"),
        "evidence worst_window_nll of vanilla: prompt 0",
    ),
    "likelier texts in a cell": (likelier_intact_texts, "as of the same text"),
    "wider limits of validity": (wider_limits, "limits worst_window_nll of greedy"),
    "other margins": (other_margins, "limits margins of the run"),
    "own texts with unlikely passages": (unlikely_passages, "limits worst_window_nll of greedy"),
    "half a likelihood": (half_a_likelihood, "class vanilla: prompt 0"),
    "a limit left out": (
        lambda run: run.record["validity_thresholds"]["greedy"].pop("mean_nll"),
        "limits mean_nll of greedy",
    ),
    "own texts without a likelihood": (unlikely_own_texts, "limits worst_window_nll of greedy"),
    "an own text left out": (lost_own_text, "own text"),
}


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(copied, tamper, named):
    caught(copied, tamper, named)
