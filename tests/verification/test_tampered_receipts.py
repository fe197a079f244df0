"""Receipts and edits tampered with, each run bound together again as if nothing had been."""

import pytest

from tests.verification.conftest import caught

TOP = "top_fraction0.3"


def receipt(run, cell, name):
    return next(each for each in run.cell(cell)["receipts"] if f"{each['stage']}/{each['name']}" == name)


def without(cell, name):
    """The cell says nothing of a receipt, and that is told."""

    def tamper(run):
        run.cell(cell)["receipts"].remove(receipt(run, cell, name))

    return tamper, f"receipt {name} of {cell}: recorded 'missing'"


def seen(cell, name, field, value, named):
    """A receipt that holds says that it saw something else."""
    return lambda run: receipt(run, cell, name)["evidence"].update({field: value}), named


def share(cell, name, named, **changes):
    return lambda run: receipt(run, cell, name)["looked_at"][0].update(changes), named


def edit(cell, change, named):
    return lambda run: run.cell(cell)["receipt"].update(change(run.cell(cell)["receipt"])), named


def of_another_model(run):
    receipt(run, "planted", "weights/intact-before")["evidence"].update(seen="0" * 12, expected="0" * 12)


def twice(run):
    run.cell("planted")["receipts"].append(receipt(run, "planted", "data/declared-files"))


def without_a_hash(run):
    del run.record["provenance"]["data_sha256"]["perplexity"]


def of_another_region(run):
    """Everything that was measured of one cell, under another one's name."""
    kept = ("id", "group", "title", "parameters", "invalid_is_expected", "completions_sha256")
    own, other = run.cell("planted"), run.cell(TOP)
    run.record["cells"][run.record["cells"].index(other)] = {**own, **{name: other[name] for name in kept}}
    run.texts[TOP], run.raw[TOP] = run.texts["planted"], run.raw["planted"]


TAMPERED = {
    "a cell with the figures of another": (of_another_region, f"cell what was measured of {TOP}"),
    "no scores": without(TOP, "scores/plain-definition"),
    "no mask": without(TOP, "mask/selection"),
    "no layers": without(TOP, "mask/layers"),
    "no samples": without(TOP, "data/calibration-samples"),
    "no requests in the data": without(TOP, "data/no-evaluation-request"),
    "no planted mask": without("planted", "mask/planted"),
    "no cache": without("planted", "engine/prefix-cache"),
    "nothing left as found": without("planted", "weights/left-as-found"),
    "no benign answers": without("planted", "text/benign-answers"),
    "no names": without("intact", "weights/as-named"),
    "no tokenizer": without("intact", "prompts/tokenizer"),
    "no requests": without("intact", "prompts/every-request"),
    "no plain forward": without("intact", "logits/plain-forward"),
    "no accuracy": without("intact", "scorer/zero-shot-accuracy"),
    "no likelihoods": without("intact", "text/likelihoods"),
    "a receipt twice": (twice, "receipt data/declared-files of planted: recorded '2 times'"),
    "wrong files": seen("planted", "data/declared-files", "wrong", 3, "wrong of data/declared-files"),
    "wrong parameters": seen("planted", "weights/edited-places", "parameters_wrong", 2, "parameters_wrong of weights"),
    "other weights": seen("planted", "engine/weights", "at_last", "0" * 12, "what is alike in engine/weights"),
    "not the intact model": seen(
        "planted", "weights/intact-before", "seen", "0" * 12, "alike in weights/intact-before"
    ),
    "another intact model": (of_another_model, "model fingerprint before the cell of planted"),
    "another dtype": (lambda run: run.record["variant"].update(dtype="bfloat16"), "model dtype of intact"),
    "fewer texts": seen("planted", "text/lengths", "texts", 5, "texts of text/lengths"),
    "texts that were cut": seen("planted", "text/stop-tokens", "at_the_limit", 0, "at_the_limit of text/stop-tokens"),
    "more items": seen("intact", "scorer/zero-shot-items", "items", 40, "items of scorer/zero-shot-items"),
    "more windows": seen("intact", "scorer/perplexity-windows", "windows", 9, "windows of scorer/perplexity-windows"),
    "more tokens": seen("intact", "scorer/perplexity-figure", "tokens", 9, "tokens of scorer/perplexity-figure"),
    "another rate": seen("planted", "scorer/aggregation", "asr_vanilla", 0.0, "asr_vanilla of scorer/aggregation"),
    "fewer answers": seen("planted", "text/benign-answers", "answered", 0, "answered of text/benign-answers"),
    "more than all": share("planted", "text/own-prompt", "share texts of text/own-prompt", seen=99),
    "of fewer": share("planted", "text/own-prompt", "share all texts of text/own-prompt", of=24),
    "of nothing": share("planted", "text/own-prompt", "share texts of text/own-prompt", seen=0),
    "no share": (
        lambda run: receipt(run, "planted", "text/own-prompt").pop("looked_at"),
        "share whether text/own-prompt says one",
    ),
    "a fingerprint before": edit(
        "planted",
        lambda _: {"fingerprint_before": "0" * 64, "fingerprint_restored": "0" * 64},
        "edit fingerprint_before",
    ),
    "an edit of nothing": edit(
        "planted", lambda own: {"fingerprint_edited": own["fingerprint_before"]}, "edit whether it changes weights"
    ),
    "a larger model": edit(
        "planted",
        lambda own: {"weights_total": 2 * own["weights_total"], "sparsity": own["sparsity"] / 2},
        "edit weights_total of ",
    ),
    "fewer weights": edit(
        "planted",
        lambda own: {"weights_selected": 10, "sparsity": 10 / own["weights_total"]},
        "edit selected weights of planted",
    ),
    "a smaller share": edit(
        TOP,
        lambda own: {"weights_selected": 10, "sparsity": 10 / own["weights_total"]},
        f"edit sparsity as asked for of {TOP}",
    ),
    "shares of layer types": edit(
        TOP,
        lambda own: {"sparsity_by_layer_type": dict.fromkeys(own["sparsity_by_layer_type"], 0.5)},
        f"edit sparsity between those of layer types of {TOP}",
    ),
    "a time": (lambda run: run.cell("planted").update(seconds=-1.0), "cell seconds, none below 0 of planted"),
    "no hash of data": (without_a_hash, "data perplexity of the run: recorded 'no SHA-256'"),
}


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(copied, tamper, named):
    caught(copied, tamper, named)
