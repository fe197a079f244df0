"""A figure that `harness explain` prints otherwise than the record has it is an error, and nothing is printed."""

from dataclasses import replace

import pytest

from harness.explanation.read_back import check_content, check_told
from harness.explanation.recorded import RecordedRun
from harness.explanation.steps import Observation
from harness.explanation.story import explain
from harness.explanation.words import told
from harness.faults.seam import replaced
from harness.reports.read_back.known import Misreported
from harness.spec.measurement import Measurement
from harness.spec.receipt import LookedAt

STORY, WORDS = "harness.explanation.story", "harness.explanation.words"


def checked(run, cell, reference=None):
    story = explain(run, run.cell(cell), reference)
    check_told(told(story), run, cell, reference)
    check_content(story.as_json(), run, reference)


@pytest.fixture(scope="module")
def judged(destroyed):
    """The same run, with a judge's figures and a receipt that looked at a part in one cell."""
    cell = destroyed.cell("phrases")
    more = (Measurement(metric="asr_vanilla_by_own", value=0.8, n=10, valid=False, reason="it knows no text"),)
    first, *others = cell.receipts
    seen = first.model_copy(update={"looked_at": (LookedAt(what="texts", seen=3, of=20),)})
    changed = {"judges": {"own": None}, "measurements": cell.measurements + more, "receipts": (seen, *others)}
    cells = [each.model_copy(update=changed) if each is cell else each for each in destroyed.record.cells]
    return RecordedRun(destroyed.path, destroyed.record.model_copy(update={"cells": tuple(cells)}))


def test_what_is_told_of_real_cells_is_what_their_records_have(destroyed, judged):
    for cell in destroyed.record.cells:
        checked(destroyed, cell.id)
        checked(destroyed, cell.id, destroyed)
        checked(destroyed, cell.id, judged)
    checked(judged, "phrases", destroyed)


def test_what_is_told_without_texts_is_what_the_record_has(destroyed):
    without = destroyed.record.model_copy(update={"texts_taken_out_of": "a" * 64})
    for cell in without.cells:
        checked(RecordedRun(destroyed.path, without), cell.id)


def other_outputs(**changes):
    """The first evaluation's outputs with other figures."""
    return lambda right: lambda *given: [replace(right(*given)[0], **changes), *right(*given)[1:]]


FAULTS = {
    "rate of another cell": (f"{STORY}:outputs_of", other_outputs(recorded=0.37), "the ASR of vanilla is 0.37"),
    "classes of another cell": (f"{STORY}:outputs_of", other_outputs(classes={"answer": 20}), "outputs of vanilla"),
    "more outputs": (f"{STORY}:outputs_of", other_outputs(total=200), "of 200 outputs"),
    "rules turned round": (
        f"{STORY}:outputs_of",
        other_outputs(counted={"refusal_phrase": 0, "too_short": 0, "passed": 20}),
        "its texts give",
    ),
    "no mark of INVALID": (f"{STORY}:reasons", lambda right: lambda *given: [], "it is INVALID"),
    "another cell's name": (
        f"{STORY}:Explanation",
        lambda right: lambda **told: right(**{**told, "cell": "short"}),
        "begins with short",
    ),
    "figures of judges lost": (
        f"{STORY}:_judged",
        lambda right: lambda m: right(m.model_copy(update={"n": 20})),
        "of 10",
    ),
    "a judge's figure counts": (
        f"{STORY}:_judged",
        lambda right: lambda m: right(m.model_copy(update={"valid": True})),
        "INVALID in the record",
    ),
    "one more check holds": (
        f"{STORY}:checked_steps",
        lambda right: lambda cell: tuple(replace(each, held=each.held + 1) for each in right(cell)),
        "checks hold; in the record",
    ),
    "a larger share": (
        f"{STORY}:checked_steps",
        lambda right: (
            lambda cell: tuple(
                replace(each, parts=tuple((name, share.replace("3 of", "20 of")) for name, share in each.parts))
                for each in right(cell)
            )
        ),
        "at 20 of 2. .*texts.*; in the record",
    ),
    "a step without its checks": (
        f"{STORY}:checked_steps",
        lambda right: lambda cell: right(cell)[1:],
        "receipts are told of",
    ),
    "receipts counted otherwise": (
        "harness.explanation.steps:_held",
        lambda right: lambda receipts: [Observation(f"{len(receipts) + 1} checks hold")] if receipts else [],
        "checks hold; in the record",
    ),
    "another share of weights": (
        "harness.explanation.steps:_mask",
        lambda right: lambda run, cell: [Observation("12.34% of the weights were selected, as asked")],
        "12.34% of the weights were selected",
    ),
    "outputs that answer": (
        "harness.explanation.steps:_texts",
        lambda right: lambda *given: [Observation("7 of 20 vanilla outputs neither answer nor refuse", True)],
        "7 of 20 vanilla",
    ),
    "the meaning of another rate": (
        f"{STORY}:_meaning",
        lambda right: lambda *given: "an ASR of 0.62 is not a rate at which attacks succeed",
        "an ASR of 0.62",
    ),
    "the intact model's figure": (
        f"{STORY}:_beside",
        lambda right: lambda cell, intact, name: "perplexity 3.21, intact 2.87",
        "perplexity 3.21, intact 2.87",
    ),
}


#: Told where no step before the text departs: the judge's figure, which rests on no text, does so at the logits.
AT_THE_TEXT = ("outputs that answer", "the intact model's figure")


@pytest.mark.parametrize("name", FAULTS)
def test_a_figure_that_is_told_otherwise_is_an_error(destroyed, judged, name):
    run = destroyed if name in AT_THE_TEXT else judged
    target, wrong, words = FAULTS[name]
    with replaced(target, wrong):
        story = explain(run, run.cell("phrases"))
    with pytest.raises(Misreported, match=words):
        check_told(told(story), run, "phrases")
    if name != "another cell's name":
        with pytest.raises(Misreported, match=words):
            check_content(story.as_json(), run)


def test_a_figure_of_the_reference_that_is_told_otherwise_is_an_error(destroyed):
    cells = [
        each.model_copy(
            update={
                "measurements": tuple(m.model_copy(update={"value": 0.5, "valid": True}) for m in each.measurements)
            }
        )
        for each in destroyed.record.cells
    ]
    there = RecordedRun(destroyed.path, destroyed.record.model_copy(update={"cells": tuple(cells)}))
    checked(destroyed, "short", there)
    fault = replaced("harness.explanation.reference:_figure", lambda right: lambda value, valid: right(0.25, True))
    with fault, pytest.raises(Misreported, match="the record has"):
        checked(destroyed, "short", there)
