"""Figures, cells and raw values tampered with, each run bound together again as if nothing had been."""

import pytest

from tests.verification.conftest import caught


def swapped(one, other, keys):
    for key in keys:
        one[key], other[key] = other[key], one[key]


def swapped_figures(run):
    swapped(run.cell("intact"), run.cell("planted"), ["measurements"])


def swapped_cells(run):
    swapped(run.cell("intact"), run.cell("planted"), ["measurements", "completion_classes", "receipt"])
    swapped(run.texts, run.texts, ["intact"])
    run.texts["intact"], run.texts["planted"] = run.texts["planted"], run.texts["intact"]


def without_cell(run, name):
    run.record["cells"] = [cell for cell in run.record["cells"] if cell["id"] != name]
    del run.texts[name]


def skipped_cell(run):
    without_cell(run, "planted")
    run.record["skipped_cells"]["planted"] = "the variant has no planted region"


def twice(run):
    run.record["cells"].append(run.cell("planted"))


def ten_times(run):
    from harness.formulas.statistics import wilson_interval

    figure = run.figure("intact", "answered_vanilla")
    figure.update(n=80, interval=wilson_interval(figure["value"], 80))


def with_matching_n(run):
    from harness.formulas.statistics import proportion

    estimate = proportion(5, 8)
    run.figure("planted", "asr_vanilla").update(
        value=estimate.value, n=8, standard_error=estimate.standard_error, interval=estimate.interval
    )


def edit(run, **fields):
    run.cell("planted")["receipt"].update(fields)


def unlikelier(run):
    """The right choice of an item that was right is less likely now: the accuracy does not follow any more."""
    rows = (row for row in run.raw["intact"] if row["evaluation"] == "accuracy")
    row = next(row for row in rows if row["values"].index(max(row["values"])) in row["right"])
    row["values"][row["right"][0]] -= 1000


def other_answers(run):
    for row in run.raw["planted"]:
        row["right"] = [(right + 1) % len(row["values"]) for right in row["right"]]


def less_negative_log_likelihood(run):
    for row in run.raw["intact"]:
        if row["evaluation"] == "perplexity":
            row["values"] = [row["values"][0] * 0.9]


def windows_left_out(run):
    """The last window of a cell, and the figure of those that are left."""
    run.raw["intact"].remove([row for row in run.raw["intact"] if row["evaluation"] == "perplexity"][-1])


def smaller_window(run):
    for row in run.raw["intact"]:
        if row["evaluation"] == "perplexity":
            row["n"] = 15


def without_anywhere(run, evaluation, part, index):
    """A row that is missing alike in all cells."""
    for cell, rows in run.raw.items():
        run.raw[cell] = [r for r in rows if (r["evaluation"], r["part"], r["index"]) != (evaluation, part, index)]


def raw(run, evaluation, **fields):
    """The first row of an evaluation, changed."""
    next(row for row in run.raw["intact"] if row["evaluation"] == evaluation).update(fields)


TAMPERED = {
    "a window missing in all cells": (
        lambda run: without_anywhere(run, "perplexity", "", 3),
        "raw perplexity 3 of planted: recorded 'missing'",
    ),
    "an item missing in all cells": (
        lambda run: without_anywhere(run, "accuracy", "tiny_sums", 5),
        "raw accuracy tiny_sums 5 of planted: recorded 'missing'",
    ),
    "all windows": (lambda run: [without_anywhere(run, "perplexity", "", n) for n in range(4)], "raw perplexity 0 of"),
    "a window without a value": (lambda run: raw(run, "perplexity", values=[]), "raw perplexity 0 of intact: recorded"),
    "an item with one choice": (lambda run: raw(run, "accuracy", values=[-1.0]), "raw accuracy tiny_"),
    "a right answer that is no choice": (lambda run: raw(run, "accuracy", right=[99]), "raw accuracy tiny_"),
    "a likelihood that is not finite": (
        lambda run: raw(run, "accuracy", values=[None, -1.0]),
        "accuracy_mean of intact",
    ),
    "an accuracy": (lambda r: r.figure("intact", "accuracy_tiny_sums").update(value=0.9), "figure accuracy_tiny_sums"),
    "the mean accuracy": (lambda r: r.figure("planted", "accuracy_mean").update(value=0.9), "figure accuracy_mean"),
    "chance": (lambda r: r.figure("planted", "accuracy_chance").update(value=0.1), "figure accuracy_chance"),
    "items of an accuracy": (lambda r: r.figure("intact", "accuracy_mean").update(n=360), "n n of accuracy_mean"),
    "a perplexity": (lambda run: run.figure("planted", "perplexity").update(value=8.0), "figure perplexity of planted"),
    "windows of a perplexity": (lambda run: run.figure("intact", "perplexity").update(n=40), "n n of perplexity"),
    "a perplexity's interval": (
        lambda r: r.figure("intact", "perplexity").update(interval=[8, 9]),
        "interval of perpl",
    ),
    "a likelihood": (unlikelier, "figure accuracy_"),
    "other right answers in one cell": (other_answers, "item accuracy tiny_"),
    "less negative log-likelihood": (less_negative_log_likelihood, "figure perplexity of intact"),
    "a window left out": (windows_left_out, "raw perplexity 3 of intact: recorded 'missing'"),
    "a smaller window": (smaller_window, "raw perplexity 0 of intact"),
    "an item twice": (lambda run: run.raw["intact"].append(run.raw["intact"][0]), "raw accuracy tiny_facts 0"),
    "figures of two cells swapped": (swapped_figures, "figure asr_vanilla of intact"),
    "two cells swapped": (swapped_cells, "cell an edit of intact"),
    "a cell left out": (lambda run: without_cell(run, "planted"), "cell planted of the run: recorded 'missing'"),
    "the last cell left out": (lambda run: without_cell(run, "top_fraction0.3"), "cell top_fraction0.3 of the run"),
    "a cell said to be skipped": (skipped_cell, "skipped cell reason of planted"),
    "a cell twice": (twice, "cell planted of the run: recorded '2 times'"),
    "another reason for a skipped cell": (lambda run: run.record["skipped_cells"].update(elsewhere="too slow"), "skip"),
    "no skipped cell": (lambda run: run.record["skipped_cells"].clear(), "skipped cell reason of elsewhere"),
    "another title": (lambda run: run.cell("intact").update(title="Other"), "cell title of intact"),
    "other parameters": (lambda r: r.cell("top_fraction0.3").update(parameters={"fraction": 0.1}), "cell parameters"),
    "another group": (lambda run: run.cell("planted").update(group="intact"), "cell group of planted"),
    "invalid said to be expected": (lambda run: run.cell("planted").update(invalid_is_expected="so"), "invalid_is_exp"),
    "n times ten, with its interval": (ten_times, "n n of answered_vanilla of intact"),
    "a value with matching n": (with_matching_n, "figure asr_vanilla of planted"),
    "a value": (lambda run: run.figure("intact", "answered_benign").update(value=0.9), "figure answered_benign"),
    "a value by little": (lambda r: r.figure("intact", "answered_benign").update(value=1 - 1e-9), "figure answered_b"),
    "no value": (lambda run: run.figure("intact", "refused_benign").update(value=None), "figure refused_benign"),
    "an interval": (lambda run: run.figure("intact", "asr_vanilla").update(interval=[0.0, 0.1]), "interval of asr_van"),
    "no interval": (lambda run: run.figure("intact", "asr_vanilla").update(interval=None), "interval of asr_vanilla"),
    "a standard error": (lambda r: r.figure("planted", "asr_vanilla").update(standard_error=0.2), "standard error"),
    "a figure called invalid": (lambda r: r.figure("planted", "asr_vanilla").update(valid=False), "valid of asr_vanil"),
    "a figure with a reason": (
        lambda r: r.figure("planted", "asr_vanilla").update(reason="x"),
        "reason of asr_vanilla",
    ),
    "a figure left out": (lambda run: run.cell("intact")["measurements"].pop(), "metric "),
    "a figure twice": (lambda r: r.cell("intact")["measurements"].append(r.figure("intact", "asr_vanilla")), "2 times"),
    "a scorer rule": (
        lambda r: r.figure("planted", "scorer_rule_too_short_vanilla").update(value=0.5),
        "figure scorer_rule_too_short_van",
    ),
    "without the word rule": (
        lambda r: r.figure("intact", "asr_without_word_rule_vanilla").update(value=0.5),
        "word_r",
    ),
    "any sample": (lambda r: r.figure("intact", "asr_adv_decoding_any").update(value=0.125), "figure asr_adv_decod"),
    "precision": (lambda r: r.figure("planted", "planted_precision").update(value=0.5), "figure planted_precision"),
}


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(copied, tamper, named):
    caught(copied, tamper, named)
