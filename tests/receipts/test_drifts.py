from dataclasses import dataclass

import pytest
import torch

from harness.evaluations._drift_settings import Settings
from harness.receipts.drifts import Groups, figures_again
from harness.spec.measurement import Measurement

WEIGHTS = {"a.weight": torch.tensor([[1.0, -2.0], [0.0, 4.0]]), "b.weight": torch.tensor([[8.0, 0.5]])}
PLACES = {"g": {"a": torch.arange(4), "b": torch.tensor([0])}}
REGION = {"select": "top", "method": "random", "fraction": 0.5}


@dataclass
class Moved:
    size: float

    def update(self, layer, intact):
        return torch.full(intact.shape, self.size)


def settings(**changes):
    groups = [{"name": "g", "region": REGION}]
    return Settings(kind="drift", checkpoints=1, groups=groups, **changes)


TRUE = {
    "drift_g/count": (5.0, 5),
    "drift_g/zero_weights": (1.0, 5),
    "drift_g/absolute_mean/checkpoint1": (0.5, 5),
    "drift_g/absolute_median/checkpoint1": (0.5, 5),
    "drift_g/relative_mean/checkpoint1": ((0.5 + 0.25 + 0.125 + 0.0625) / 4, 4),
    "drift_g/relative_median/checkpoint1": ((0.25 + 0.125) / 2, 4),
    "drift_g/relative_q95/checkpoint1": (0.25 + 0.85 * 0.25, 4),
    "drift_g/unchanged_share/checkpoint1": (0.0, 5),
    "drift_g/norm_ratio/checkpoint1": ((5 * 0.25 / (1 + 4 + 16 + 64)) ** 0.5, 5),
}


#: Of both layers twice, or of each once: the relative median is 0.25, 0.0625 or 0.125.
INTERVALS = {"drift_g/absolute_median/checkpoint1": (0.5, 0.5), "drift_g/relative_median/checkpoint1": (0.0625, 0.25)}


def receipt(changes=(), size=0.5, intervals=INTERVALS, **declared):
    told = [
        Measurement(metric=m, value=value, n=n, interval=intervals.get(m))
        for m, (value, n) in (TRUE | dict(changes)).items()
    ]
    return figures_again(settings(**declared), Groups(PLACES, WEIGHTS, ["a", "b"]), {1: Moved(size)}, 1, told)


def test_figures_of_a_checkpoint_are_made_again():
    found = receipt()
    assert found.holds
    assert found.evidence["figures"] == len(TRUE)


@pytest.mark.parametrize("metric", list(TRUE))
def test_each_figure_that_is_another_one_is_named(metric):
    value, n = TRUE[metric]
    assert metric in receipt({metric: (value + 0.1, n)}).seen
    assert metric in receipt({metric: (value, n + 1)}).seen


def test_an_interval_of_other_layers_is_noticed():
    metric = "drift_g/absolute_median/checkpoint1"
    told = [Measurement(metric=metric, value=0.5, n=5, interval=interval) for interval in ((0.5, 0.5), (0.4, 0.6))]
    right, wrong = (
        figures_again(settings(), Groups(PLACES, WEIGHTS, ["a", "b"]), {1: Moved(0.5)}, 1, [each]) for each in told
    )
    assert right.holds
    assert "the interval of drift_g/absolute_median/checkpoint1 (0.4, 0.6)" in wrong.seen


def test_another_checkpoint_is_noticed():
    assert not receipt(size=0.25).holds


def test_a_merge_in_sixteen_bits_rounds_small_updates_away():
    still = {m: (0.0, n) for m, (_, n) in TRUE.items() if "checkpoint1" in m}
    # What is 0 moves all the same.
    still["drift_g/absolute_mean/checkpoint1"] = (1e-4 / 5, 5)
    still["drift_g/norm_ratio/checkpoint1"] = (1e-4 / 85**0.5, 5)
    still["drift_g/unchanged_share/checkpoint1"] = (0.8, 5)
    assert receipt(still, 1e-4, dict.fromkeys(INTERVALS, (0.0, 0.0)), merge_dtype="bfloat16").holds
    assert not receipt(still, 1e-4, merge_dtype="float32").holds


def test_a_ratio_is_one_figure_divided_by_another():
    groups = [{"name": name, "region": REGION} for name in ("g", "h")]
    declared = Settings(
        kind="drift",
        checkpoints=1,
        groups=groups,
        compare=[{"first": "g", "second": "h"}],
        statistics=["absolute_mean"],
    )
    places = {"g": PLACES["g"], "h": {"b": torch.arange(2)}}

    def told(ratio):
        values = {"g/absolute_mean/checkpoint1": (0.5, 5), "h/absolute_mean/checkpoint1": (0.5, 2)}
        values["g_over_h/absolute_mean/last"] = (ratio, 5)
        found = [Measurement(metric=f"drift_{m}", value=value, n=n) for m, (value, n) in values.items()]
        return figures_again(declared, Groups(places, WEIGHTS, ["a", "b"]), {1: Moved(0.5)}, 1, found)

    assert told(1.0).holds
    assert "drift_g_over_h/absolute_mean/last" in told(1.001).seen
