"""What breaks the way to a state whose outcome is known breaks its canary; a model's nature breaks none."""

from dataclasses import replace

import pytest

from harness.executors.local import InProcess
from harness.faults.seam import replaced
from harness.runs.binding import bind
from harness.runs.canaries import random_share
from harness.runs.canaries_found import Canaries
from harness.runs.workbench import Workbench
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec, CellGroup
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process


@pytest.fixture(scope="module")
def workbench(tmp_path_factory):
    return Workbench(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def thresholds(bound, workbench):
    return workbench.calibrate(bound)


def broken(canaries):
    return [receipt.name for receipt in canaries.receipts if not receipt.holds]


@pytest.mark.parametrize("variant", ["tiny-llama2-chat", "tiny-llama3-instruct"])
def test_all_canaries_hold_on_an_organism(variant, bound, tmp_path):
    path = locations.find_variant(variant)
    own = bind(bound.spec, load_yaml_model(path, ModelVariant), path)
    bench = Workbench(tmp_path)
    found = bench.canaries(own, bench.calibrate(own))
    assert [receipt.name for receipt in found.receipts] == ["intact", "shuffled", "random-mask", "repeat"]
    assert broken(found) == []
    assert {receipt.stage for receipt in found.receipts} == {"canary"}


def test_an_engine_that_keeps_the_first_weights_it_saw_breaks_the_shuffled_canary(bound, workbench, thresholds):
    from harness.models import editing

    with replaced("harness.models.editing:_reorder_rows", lambda right: lambda layers, orders: None):
        assert broken(workbench.canaries(bound, thresholds)) == ["shuffled"]
    assert editing._reorder_rows.__name__ == "_reorder_rows"


def test_a_judge_that_calls_everything_an_answer_breaks_the_shuffled_canary(bound, workbench, thresholds):
    with replaced("harness.runs.judging:classify", lambda right: lambda text, limits: "answer"):
        assert broken(workbench.canaries(bound, thresholds)) == ["shuffled"]


def test_a_scorer_that_sees_no_refusal_breaks_the_intact_canary_of_an_organism_and_of_no_other_model(
    bound, workbench, thresholds
):
    other = replace(bound, variant=bound.variant.model_copy(update={"planted_region": None}))
    with replaced("harness.evaluations.attack:keyword_attack_success", lambda right: lambda text: True):
        assert broken(workbench.canaries(bound, thresholds)) == ["intact"]
        found = workbench.canaries(other, thresholds)
    assert broken(found) == []
    assert "a finding about this model" in found.receipts[0].seen
    assert found.receipts[0].evidence["asr"] == 1.0


def test_a_mask_that_is_another_ones_breaks_the_random_canary(bound, workbench, thresholds):
    from harness.models.editing import SelectedWeights
    from harness.models.tensor_files import read_masks

    planted = SelectedWeights(read_masks(bound.planted_path))
    with replaced("harness.runs.canaries:_random_mask", lambda right: lambda bench: planted):
        assert broken(workbench.canaries(bound, thresholds)) == ["random-mask"]


def test_random_numbers_that_go_on_from_one_measurement_to_the_next_break_the_repeat(bound, workbench, thresholds):
    calls = []

    def make_wrong(right):
        def generate(self, requests):
            calls.append(None)
            return right(self, [replace(each, seed=(*each.seed, len(calls))) for each in requests])

        return generate

    with replaced("harness.engines.hf:HfEngine.generate", make_wrong):
        assert broken(workbench.canaries(bound, thresholds)) == ["repeat"]


def test_the_random_mask_is_as_large_as_a_set_difference_and_never_larger_than_a_model_bears(bound):
    def with_q(q):
        region = {"select": "set-difference", "method": "wanda", "safety": "safety", "utility": "utility", "p": 0.1}
        group = CellGroup(id="difference", title="d", region={**region, "q": q})
        return random_share(replace(bound, cells=tuple(group.cells())))

    assert with_q(0.004) == 0.004
    assert with_q(0.07) == 0.015
    assert random_share(replace(bound, cells=())) == 0.01


def test_canaries_stand_in_the_record_and_an_interrupted_run_does_not_repeat_them(bound, finished, tmp_path):
    record, path, _ = finished
    assert [canary.name for canary in record.canaries] == ["intact", "shuffled", "random-mask", "repeat"]
    assert (path.parent / "canaries.json").is_file()

    class Ended(Exception):
        pass

    class EndsAtTheFirstCell(InProcess):
        def measure(self, tasks, step):
            raise Ended

    class HasNoCanaries(InProcess):
        def canaries(self, bound, thresholds):
            raise AssertionError("canaries are on disk")

    first = replace(bound, cells=bound.cells[:2])  # with the planted region, by whose size the random mask goes
    with pytest.raises(Ended):
        run_in_process(first, tmp_path, EndsAtTheFirstCell)
    again, _ = run_in_process(first, tmp_path, HasNoCanaries)
    assert again.canaries == record.canaries


def test_a_spec_that_generates_no_text_has_none(bound, workbench):
    spec = BenchmarkSpec.model_validate(
        {
            **bound.spec.model_dump(mode="json", exclude_none=True),
            "claims": [],
            "evaluations": [{"kind": "perplexity", "dataset": "perplexity", "window_tokens": 32, "windows": 3}],
        }
    )
    own = replace(bound, spec=spec)
    assert workbench.canaries(own, workbench.calibrate(own)) == Canaries()
