"""Drift of a fine-tuned random Llama against the saved checkpoints, read with plain PEFT and numpy in float64."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import PeftModel

from harness.calibration.pairs import read_pairs, tokenise
from harness.errors import UserError
from harness.evaluations._drift_settings import COMPARED, SIZES
from harness.evaluations.base import Training
from harness.evaluations.drift import Evaluation, Settings
from harness.finetuning.checkpoints import Checkpoint
from harness.finetuning.fine_tuning import fine_tune
from harness.models.editing import all_weights_restored
from harness.models.layers import linear_layers
from harness.spec.finetuning import FineTuningSettings

REGIONS = {"first": {"select": "planted"}, "second": {"select": "top", "method": "random", "fraction": 0.1}}


def settings(**changes):
    return Settings.model_validate(
        {
            "kind": "drift",
            "name": "d",
            "checkpoints": 3,
            "compare": [{"first": "second", "second": "first"}],
            "groups": [{"name": name, "region": region} for name, region in REGIONS.items()],
            "replicates": 50,
            **changes,
        }
    )


@pytest.fixture
def masks(loaded):
    """`planted` in a few layers, given in another order than the model's; `top` in all. Some weights are 0."""
    generator = torch.Generator().manual_seed(0)
    layers = linear_layers(loaded.model)
    for layer in layers.values():
        layer.weight.data[0, :3] = 0.0
    drawn = {name: torch.rand(layer.weight.shape, generator=generator) < 0.1 for name, layer in layers.items()}
    return {"planted": {name: drawn[name].roll(1, 0) for name in reversed(list(layers)[2:9])}, "top": drawn}


@pytest.fixture
def context(loaded, intact_context, masks):
    return replace(intact_context, find_masks=lambda region: masks[region.select])


@pytest.fixture
def measured(loaded, context, pairs_csv, tmp_path):
    """measured(settings, **fine-tuning): measurements by metric, and a copy of the intact model."""

    def measure(chosen, learning_rate=1e-3, **tuning):
        samples = tokenise(read_pairs(pairs_csv), loaded.tokenizer, 128)
        how = FineTuningSettings.model_validate(
            {
                "method": "lora",
                "lora": {"r": 4, "alpha": 8},
                "dataset": "d",
                "examples": 6,
                "epochs": 2,
                "batch_size": 2,
                "learning_rate": learning_rate,
                "checkpoint_every": 2,
                **tuning,
            }
        )
        before = copy.deepcopy(loaded.model)
        prepared = {chosen.name: Evaluation(chosen).prepare(context)}
        with all_weights_restored(loaded.model) as intact:
            receipt = fine_tune(loaded.model, samples[: how.examples], how, None, lambda share: None, tmp_path / "c")
            saved = [Checkpoint(c.step, tmp_path / "c" / f"step-{c.step:06d}") for c in receipt.checkpoints]
            there = replace(context, prepared=prepared, training=Training(intact, saved))
            found = Evaluation(chosen).measure(there).measurements
        by_metric = {m.metric: m for m in found}
        assert len(by_metric) == len(found)
        return by_metric, before

    return measure


def by_hand(before, after, region):
    """Statistics from two models and masks: values gathered one by one, in float64."""
    layers, tuned = linear_layers(before), linear_layers(after)
    w = np.concatenate([layers[name].weight.detach()[mask].double().numpy() for name, mask in region.items()])
    v = np.concatenate([tuned[name].weight.detach()[mask].double().numpy() for name, mask in region.items()])
    d = np.abs(v - w)
    found = {}
    for kind, values in (("absolute", d), ("relative", d[w != 0] / np.abs(w[w != 0]))):
        found |= {
            f"{kind}_mean": values.mean(),
            f"{kind}_std": values.std(),
            f"{kind}_median": np.median(values),
            f"{kind}_max": values.max(),
            **{f"{kind}_q{q:02d}": np.percentile(values, q) for q in (5, 25, 75, 95, 99)},
        }
    ratios = np.sort(d[w != 0] / np.abs(w[w != 0]))
    found["relative_trimmed_mean"] = ratios[: len(ratios) - len(ratios) // 100].mean()
    return found | {"norm_ratio": np.linalg.norm(d) / np.linalg.norm(w), "unchanged_share": (d == 0).mean()}


def test_every_figure_follows_from_the_checkpoints_as_plain_peft_merges_them(measured, masks, tmp_path):
    chosen = settings()
    found, before = measured(chosen)
    assert set(found) == set(chosen.metrics)
    last = {}
    for number, step in enumerate((2, 4, 6), start=1):
        assert found[chosen.step_metric(number)].value == step
        merged = PeftModel.from_pretrained(copy.deepcopy(before), tmp_path / "c" / f"step-{step:06d}")
        merged = merged.merge_and_unload()
        for group, region in REGIONS.items():
            last[group] = by_hand(before, merged, masks[region["select"]])
            for statistic in chosen.statistics:
                value = found[chosen.metric(group, statistic, number)].value
                assert value == pytest.approx(last[group][statistic], rel=1e-9), (group, statistic, step)
    for statistic in COMPARED:
        ratio = found[chosen.ratio_metric(chosen.compare[0], statistic)]
        assert ratio.value == pytest.approx(last["second"][statistic] / last["first"][statistic], rel=1e-9)
        assert ratio.interval[0] <= ratio.value <= ratio.interval[1]


def test_sizes_are_those_of_the_intact_weights(measured, masks):
    chosen = settings()
    found, before = measured(chosen)
    layers = linear_layers(before)
    sizes = {}
    for group, region in REGIONS.items():
        values = torch.cat([layers[name].weight.detach()[mask] for name, mask in masks[region["select"]].items()])
        expected = [len(values), int((values == 0).sum()), float(values.double().abs().mean())]
        assert [found[chosen.size_metric(group, size)].value for size in SIZES] == pytest.approx(expected)
        assert found[chosen.metric(group, "relative_mean", 1)].n == expected[0] - expected[1]
        sizes[group] = expected[2]
    assert expected[1] > 0
    ratio = found[chosen.size_ratio_metric(chosen.compare[0])].value
    assert ratio == pytest.approx(sizes["second"] / sizes["first"])


def test_merged_in_bfloat16_the_medians_of_small_updates_are_zero_and_in_float32_they_are_not(measured):
    found, _ = measured(settings(), learning_rate=2e-6)
    rounded, _ = measured(settings(merge_dtype="bfloat16"), learning_rate=2e-6)
    for group in REGIONS:
        for statistic in ("absolute_median", "relative_median"):
            metric = settings().metric(group, statistic, 3)
            assert rounded[metric].value == 0 < found[metric].value
        unchanged = settings().metric(group, "unchanged_share", 3)
        assert found[unchanged].value < 0.1 and rounded[unchanged].value > 0.5


def test_without_a_step_nothing_has_drifted(measured):
    chosen = settings()
    found, _ = measured(chosen, examples=0)
    assert found[chosen.step_metric(1)].value == 0
    statistics = {m.metric.split("/")[1]: m.value for m in found.values() if m.metric.endswith("/checkpoint1")}
    assert statistics.pop("unchanged_share") == 1
    assert set(statistics.values()) == {0.0} and len(statistics) == len(chosen.statistics)  # and the step
    assert not [metric for metric in found if metric.endswith("/last")]  # nothing is divided by nothing


def test_full_training_is_measured_too(measured, masks):
    chosen = settings(statistics=["absolute_mean", "relative_max"])
    found, _ = measured(chosen, method="full", lora=None, learning_rate=1e-3)
    assert found[chosen.metric("first", "absolute_mean", 3)].value > 1e-4
    assert set(found) == set(chosen.metrics)


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others(measured):
    metric = settings().metric("first", "absolute_mean", 3)
    first, again, other = (measured(settings(seed=seed))[0][metric] for seed in (0, 0, 1))
    assert first.interval == again.interval != other.interval
    assert first.value == other.value


def test_a_cell_without_checkpoints_has_no_drift(context):
    assert Evaluation(settings()).measure(context).measurements == ()
    assert Evaluation(settings()).measure(replace(context, training=Training({}, []))).measurements == ()


def test_an_empty_group_is_refused_before_anything_is_trained(context, masks):
    for mask in masks["planted"].values():
        mask.zero_()
    with pytest.raises(UserError, match="the group first holds no weight; give a larger share"):
        Evaluation(settings()).prepare(context)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compare": [{"first": "second", "second": "frist"}]}, "no group 'frist' to compare; did you mean 'first'"),
        ({"compare": [{"first": "second", "second": "first"}] * 2}, "given twice"),
        ({"groups": [{"name": "first", "region": REGIONS["first"]}] * 2}, "given twice"),
        ({"statistics": ["relative_mode"]}, "relative_mode"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        settings(**changes)
