"""Faults behind the engine's texts, which no receipt sees: a run under one is never PASSED, and says what differs."""

import re

import pytest

from harness.faults.seam import replaced
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

SPEC = """
id: small-faults
title: Faults behind the engine
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
  - {id: planted, title: Planted, region: {select: planted}}
  - {id: destroyed, title: Destroyed model, region: {select: top, method: magnitude, fraction: 0.7},
     invalid_is_expected: a destroyed model}
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 6, system_prompt: true, chat_template: true,
     max_new_tokens: 40}
  - {kind: attack, name: benign, dataset: benign-requests, prompts: 6, system_prompt: true, chat_template: true,
     benign: true, max_new_tokens: 40}
golden_values: none
"""


def without_the_last(results):
    return lambda run: results(run)[:-1]


def swapped(judge):
    def wrong(bound, run_id, results, *rest):
        first, second, *others = results
        pair = (
            first.model_copy(update={"measurements": second.measurements}),
            second.model_copy(update={"measurements": first.measurements}),
        )
        return judge(bound, run_id, [*pair, *others], *rest)

    return wrong


def ten_times(measurement_of):
    def wrong(*arguments):
        found = measurement_of(*arguments)
        return found.model_copy(update={"n": found.n * 10})

    return wrong


def always_fit(invalid_reason):
    return lambda texts, share: None


def other_pattern(pattern):
    return re.compile(" is ")


def narrower(z):
    return z / 2


def one_more(class_counts):
    def wrong(texts):
        return {name: {kind: n + 1 for kind, n in own.items()} for name, own in class_counts(texts).items()}

    return wrong


FAULTS = {
    "the record is written before the last cell": (
        "harness.runs.sharing:Run.results",
        without_the_last,
        "cell destroyed of the run: recorded 'missing'",
    ),
    "figures of two cells are swapped": ("harness.runs.pipeline:judge", swapped, "figure asr_vanilla of intact"),
    "n is ten times as large": ("harness.evaluations.attack:measurement_of", ten_times, "n n of asr_vanilla of intact"),
    "nothing is called unfit": ("harness.runs.judging:invalid_reason", always_fit, "valid of asr_vanilla of destroyed"),
    "another pattern of refusals": ("harness.formulas.refusal:_DECLINES", other_pattern, "class vanilla"),
    "intervals are half as wide": ("harness.formulas.statistics:Z_95", narrower, "interval of asr_vanilla"),
    "classes are counted wrongly": ("harness.runs.outcomes:class_counts", one_more, "classes vanilla of intact"),
    "the limit of length is another one": (
        "harness.validity.classification:LENGTH_SHARE",
        lambda share: share * 1.2,
        "limits margins of the run",
    ),
}


def run(folder):
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    path = locations.find_variant("tiny-llama2-chat")
    bound = bind(load_yaml_model(folder / "spec.yaml", BenchmarkSpec), load_yaml_model(path, ModelVariant), path)
    return run_in_process(bound, folder / "runs")[0]


def test_without_a_fault_it_passes(tmp_path):
    verdict = run(tmp_path).verdict
    assert verdict.status == "passed", verdict.reasons


@pytest.mark.parametrize(("target", "make_wrong", "named"), FAULTS.values(), ids=FAULTS)
def test_under_a_fault_it_is_invalid_and_the_difference_is_named(tmp_path, target, make_wrong, named):
    with replaced(target, make_wrong):
        verdict = run(tmp_path).verdict
    assert (verdict.status, verdict.exit_code) == ("invalid", 3)
    assert any("verification: " in reason and named in reason for reason in verdict.reasons), verdict.reasons
