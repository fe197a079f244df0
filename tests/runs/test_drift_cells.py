"""Drift from spec to record on the shipped organism, and matched controls as regions."""

import pytest
import torch
from peft import PeftModel

from harness.errors import UserError
from harness.models.fingerprint import mask_fingerprint, model_fingerprint
from harness.models.layers import linear_layers
from harness.models.loading import load_variant
from harness.regions.matched_random import Settings as MatchedRandomRegion
from harness.runs.binding import bind
from harness.runs.regions import RegionFinder
from harness.runs.store import TensorStore
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.region import AttributionSettings
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

SPEC = """
id: drifting
title: Drift in miniature
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
attribution: {comparison_group: matrix}
cells:
  - {id: intact, title: Intact}
  - id: tuned
    title: Fine-tuned
    fine_tuning: &how {method: lora, lora: {r: 4}, dataset: utility, examples: 12, epochs: 1,
                       learning_rate: 0.01, batch_size: 4, checkpoint_every: 1}
  - {id: no-steps, title: Not tuned, fine_tuning: {<<: *how, examples: 0}}
  - id: removed
    title: A matched control removed
    region: {select: matched-random, of: &top {select: top, method: snip, data: safety, fraction: 0.01}}
evaluations:
  - kind: drift
    checkpoints: 3
    groups:
      - {name: top, region: *top}
      - {name: matched, region: {select: matched-random, of: *top}}
      - {name: largest, region: {select: top, method: magnitude, fraction: 0.01}}
    compare: [{first: matched, second: top}]
    replicates: 20
golden_values: none
"""


def bound(tmp_path, text=SPEC, **changes):
    path = tmp_path / "drifting.yaml"
    path.write_text(text, encoding="utf-8")
    place = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(place, ModelVariant).model_copy(update={"fine_tuning": {}, **changes})
    return bind(load_yaml_model(path, BenchmarkSpec), variant, place)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drifting")
    chosen = bound(folder)
    return *run_in_process(chosen, folder / "runs"), chosen


def value(record, cell, metric):
    return record.cell(cell).measurement(metric).value


def test_the_record_says_what_its_own_checkpoints_say(finished):
    """The largest 1% of each matrix of the intact model, and its change as plain PEFT merges it, by hand."""
    record, path, chosen = finished
    folder = path.parent / "checkpoints" / "tuned"
    assert sorted(place.name for place in folder.iterdir()) == ["step-000001", "step-000002", "step-000003"]
    intact, tuned = (load_variant(chosen.variant, chosen.variant_file).model for _ in range(2))
    tuned = linear_layers(PeftModel.from_pretrained(tuned, folder / "step-000003").merge_and_unload())
    absolute, relative = [], []
    for name, layer in linear_layers(intact).items():
        before, after = (each.weight.detach().double().flatten() for each in (layer, tuned[name]))
        largest = before.abs().topk(int(0.01 * len(before))).indices
        absolute.append((after - before)[largest].abs())
        relative.append(absolute[-1] / before[largest].abs())
    for statistic, values in (("absolute_mean", absolute), ("relative_mean", relative)):
        expected = float(torch.cat(values).mean())
        assert value(record, "tuned", f"drift_largest/{statistic}/checkpoint3") == pytest.approx(expected, rel=1e-9)
    assert value(record, "tuned", "drift_largest/count") == sum(len(values) for values in absolute)


def test_a_matched_control_is_as_many_weights_of_like_size(finished):
    record, _, _ = finished
    assert value(record, "tuned", "drift_matched/count") == value(record, "tuned", "drift_top/count")
    ratio = value(record, "tuned", "drift_matched/absolute_mean/checkpoint3")
    ratio /= value(record, "tuned", "drift_top/absolute_mean/checkpoint3")
    assert value(record, "tuned", "drift_matched_over_top/absolute_mean/last") == pytest.approx(ratio)
    assert value(record, "tuned", "drift_matched_over_top/magnitude_mean") == pytest.approx(1, abs=0.1)


def test_groups_are_those_of_the_intact_model_although_the_evaluation_sees_the_tuned_one(finished):
    record, _, _ = finished
    for metric in ("drift_top/magnitude_mean", "drift_matched/magnitude_mean", "drift_top/zero_weights"):
        assert value(record, "tuned", metric) == value(record, "no-steps", metric)
    assert value(record, "no-steps", "drift_top/absolute_max/checkpoint1") == 0


def test_cells_without_a_fine_tuning_have_no_drift_and_no_checkpoints(finished):
    record, path, _ = finished
    assert record.cell("intact").measurements == () and record.cell("intact").fine_tuning is None
    assert not [m.metric for m in record.cell("removed").measurements if m.metric.startswith("drift")]
    assert {place.name for place in (path.parent / "checkpoints").iterdir()} == {"tuned", "no-steps"}
    assert [saved.step for saved in record.cell("tuned").fine_tuning.checkpoints] == [1, 2, 3]


def test_checkpoints_and_record_name_no_folder_of_this_machine(finished):
    _, path, _ = finished
    for place in [path, *path.parent.rglob("adapter_config.json")]:
        assert "/tmp" not in place.read_text() and str(locations.root()) not in place.read_text()


def test_a_matched_control_can_be_removed_like_any_region(finished):
    record, _, _ = finished
    receipt = record.cell("removed").receipt
    assert receipt.weights_selected == value(record, "tuned", "drift_top/count")
    assert receipt.truth.selected == receipt.weights_selected


def test_a_control_holds_no_weight_of_its_region_and_follows_its_seed(loaded, tmp_path):
    finder = RegionFinder(
        loaded.model,
        model_fingerprint(loaded.model),
        lambda name, seed: [],
        AttributionSettings(),
        TensorStore(tmp_path / "store"),
        {"machine": "this"},
        None,
        None,
    )
    top = {"select": "top", "method": "magnitude", "fraction": 0.1}
    region = {seed: MatchedRandomRegion(select="matched-random", of=top, seed=seed) for seed in (0, 1)}
    found, again, other = (finder.masks(region[seed]) for seed in (0, 0, 1))
    reference = finder.masks(region[0].of)
    assert mask_fingerprint(found) == mask_fingerprint(again) != mask_fingerprint(other)
    assert not any((found[name] & mask).any() for name, mask in reference.items())
    assert all(torch.equal(found[name].sum(), mask.sum()) for name, mask in reference.items())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "checkpoint_every: 1",
            "checkpoint_every: 2",
            "cell tuned: 3 steps with a checkpoint every 2 give 1 checkpoints, but the evaluation drift expects 3",
        ),
        (", checkpoint_every: 1", "", "evaluation drift: no cell saves checkpoints; give fine_tuning.checkpoint_every"),
        ("method: snip, data: safety", "method: snip", "needs calibration data"),
        ("data: safety", "data: safty", "no calibration set 'safty'; did you mean 'safety'"),
    ],
)
def test_what_cannot_be_measured_is_found_before_any_weight_is_loaded(tmp_path, old, new, words):
    assert old in SPEC
    with pytest.raises(UserError, match=words):
        bound(tmp_path, SPEC.replace(old, new))


def test_controls_of_a_planted_region_are_skipped_where_a_variant_has_none(tmp_path):
    planted = SPEC.replace(
        "of: &top {select: top, method: snip, data: safety, fraction: 0.01}", "of: {select: planted}"
    )
    planted = planted.replace("region: *top", "region: &top {select: top, method: random, fraction: 0.1}")
    assert "no planted region" in bound(tmp_path, planted, planted_region=None).skipped["removed"]
