"""A figure of every linear layer, and its means over kinds of layers (figure 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.formulas.statistics import mean
from harness.spec.layers import LAYER_TYPES
from harness.spec.measurement import Measurement


@dataclass(frozen=True)
class LayerFigure:
    """An exact figure of one layer, with the number of units that it counts.

    resolution: of a share of them, what one more or less changes.
    """

    value: float
    n: int
    resolution: float | None = None


def mean_metrics(metric: str) -> list[str]:
    """Names of the means: over all layers, attention layers, MLP layers, and each layer type."""
    return [f"{metric}_mean{suffix}" for suffix in ("", "_attention", "_mlp", *(f"_{kind}" for kind in LAYER_TYPES))]


def layer_measurements(metric: str, by_layer: Mapping[str, LayerFigure]) -> list[Measurement]:
    """The `mean_metrics`, then `<metric>/model.layers.3.mlp.up_proj` for each layer.

    A layer's figure is exact and has no interval. The n of a mean is its number of layers and its
    interval that of a mean of independent values, 1.96 standard errors over the layers on either
    side: it says how well so many layers stand for their kind, not how the figure would change with
    other data, and it is too narrow where layers resemble each other, as those with one input do.
    Its resolution is what one unit of the smallest layer changes in it. It stands without
    `standard_error`, from which golden values would take the tolerance of a share of n prompts. A
    mean of one layer has no interval; one of no layers is not there.
    """
    means = []
    for name, members in zip(mean_metrics(metric), _kinds(list(by_layer)), strict=True):
        values = [by_layer[layer].value for layer in members]
        resolutions = [resolution for layer in members if (resolution := by_layer[layer].resolution) is not None]
        resolution = max(resolutions) / len(values) if resolutions else None
        if len(values) > 1:
            estimate = mean(values)
            means.append(
                Measurement(
                    metric=name,
                    value=estimate.value,
                    n=estimate.n,
                    interval=estimate.interval,
                    resolution=resolution,
                )
            )
        elif values:
            means.append(Measurement(metric=name, value=values[0], n=1, resolution=resolution))
    layers = [
        Measurement(metric=f"{metric}/{name}", value=f.value, n=f.n, resolution=f.resolution)
        for name, f in by_layer.items()
    ]
    return [*means, *layers]


def _kinds(names: list[str]) -> list[list[str]]:
    """The layers behind each of the `mean_metrics`."""
    from harness.models.layers import is_attention, layer_type

    attention = [name for name in names if is_attention(name)]
    others = [name for name in names if not is_attention(name)]
    return [names, attention, others, *([name for name in names if layer_type(name) == kind] for kind in LAYER_TYPES)]
