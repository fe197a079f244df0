"""Canaries that sing whatever happens: what was to be changed was not, or was no longer when texts were written."""

from contextlib import contextmanager

import pytest

from harness.errors import InvalidRun
from harness.faults.seam import replaced
from harness.models.editing import SelectedWeights, rows_shuffled
from harness.models.layers import linear_layers
from tests.faults.conftest import INTACT, SMALL, bound_on
from tests.runs.conftest import run_in_process


def judged(tmp_path):
    record, _ = run_in_process(bound_on("tiny-llama2-chat", tmp_path, INTACT), tmp_path / "runs")
    return record, " ".join(record.verdict.reasons)


def test_without_a_fault_they_hold_and_the_mask_is_as_large_as_its_share(tmp_path):
    record, reasons = judged(tmp_path)
    assert record.verdict.status == "passed", reasons
    (mask,) = (canary.evidence for canary in record.canaries if canary.name == "random-mask")
    assert mask["removed"] / mask["weights"] == pytest.approx(mask["share"], rel=0.05)


def never_in_force(right):
    """Weights are removed and put back before a text is written."""

    @contextmanager
    def removed(model, region):
        with right(model, region) as edit:
            pass
        yield edit

    return removed


def of_the_last_layer(right):
    return lambda bench: SelectedWeights(dict([*right(bench).masks.items()][-1:]))


def a_hundredth(right):
    return lambda bound: right(bound) / 100


def judged_while_shuffled(right):
    """The wreck's texts are judged before its weights are put back."""

    def judge(bench, settings, texts, thresholds):
        if next(states) != "shuffled":
            return right(bench, settings, texts, thresholds)
        with rows_shuffled(bench.loaded.model, bench.bound.spec.validity.seed):
            return right(bench, settings, texts, thresholds)

    states = iter(("intact", "repeat", "shuffled", "random-mask"))
    return judge


def test_a_wreck_that_is_judged_by_itself_is_caught_and_named(tmp_path):
    with replaced("harness.runs.canaries:_judged", judged_while_shuffled):
        record, reasons = judged(tmp_path)
    assert record.verdict.status == "invalid"
    assert "text/likelihoods" in reasons


def only_noted(_right):
    def noted(model, masks):
        layers = linear_layers(model)
        return {name: layers[name].weight[mask].clone() for name, mask in masks.items()}

    return noted


@pytest.mark.parametrize(("text", "cells"), [(INTACT, None), (SMALL, {"intact", "wanda-top"})], ids=["canary", "cell"])
def test_a_mask_that_is_never_applied_is_an_invalid_run_and_no_crash(tmp_path, text, cells):
    bound = bound_on("tiny-llama2-chat", tmp_path, text, cells)
    with (
        replaced("harness.models.editing:zero_weights", only_noted),
        pytest.raises(InvalidRun, match=r"weights/removed: .* weights were to be removed, 0 are"),
    ):
        run_in_process(bound, tmp_path / "runs")


@pytest.mark.parametrize(
    ("target", "wrong", "named"),
    [
        ("region_removed", never_in_force, "whether any likelihood is another than the intact model's"),
        ("_random_mask", of_the_last_layer, "removed of random-mask"),
        ("random_share", a_hundredth, "share of random-mask"),
    ],
    ids=["put back too early", "one layer", "a hundredth"],
)
def test_a_random_mask_that_measures_nothing_does_not_verify(tmp_path, target, wrong, named):
    with replaced(f"harness.runs.canaries:{target}", wrong):
        record, reasons = judged(tmp_path)
    assert record.verdict.status == "invalid"
    assert named in reasons
