"""Figures of the overlap of two sets of weights: as wholes, as means over layers, and by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from harness.evaluations._layer_means import LayerFigure, layer_measurements, mean_metrics
from harness.spec.measurement import Measurement, RawValues

if TYPE_CHECKING:
    from harness.formulas.overlap import Overlap

#: jaccard: |first ∩ second| / |first ∪ second|. overlap_share: |first ∩ second| / |first|, the reproduction
#: report's overlap percentage as a fraction.
Measure = Literal["jaccard", "overlap_share"]


def overlap_metrics(name: str, measures: Sequence[Measure]) -> list[str]:
    """Names of the metrics that every model gives; one for each layer comes on top."""
    return [metric for measure in measures for metric in (f"{name}_{measure}", *mean_metrics(f"{name}_{measure}"))]


def overlap_prefixes(name: str, measures: Sequence[Measure]) -> list[str]:
    """What the names of the metrics of single layers begin with."""
    return [f"{name}_{measure}/" for measure in measures]


def overlap_measurements(name: str, measures: Sequence[Measure], by_layer: Mapping[str, Overlap]) -> list[Measurement]:
    """For each measure that of the regions as wholes, `<name>_<measure>`, the means over layers, and each layer.

    by_layer: counts of two regions. A figure's n is the number of weights that it divides by: |first ∪ second|, or
    |first|. A layer for which that is 0 has no figure and counts in no mean.
    """
    from harness.formulas.overlap import Overlap

    whole = sum(by_layer.values(), Overlap(0, 0, 0))
    measurements: list[Measurement] = []
    for measure in measures:
        metric = f"{name}_{measure}"
        figures = {layer: figure for layer, counts in by_layer.items() if (figure := _figure(measure, counts))}
        if total := _figure(measure, whole):
            measurements.append(Measurement(metric=metric, value=total.value, n=total.n, resolution=total.resolution))
        measurements += layer_measurements(metric, figures)
    return measurements


def overlap_counts(evaluation: str, by_layer: Mapping[str, Overlap]) -> list[RawValues]:
    """What the figures are made of: of each layer |first|, |second| and |first ∩ second|."""
    return [
        RawValues(evaluation=evaluation, part=layer, values=(counts.first, counts.second, counts.both))
        for layer, counts in by_layer.items()
    ]


def _figure(measure: Measure, counts: Overlap) -> LayerFigure | None:
    """None where nothing is divided by nothing."""
    value, n = (counts.jaccard, counts.union) if measure == "jaccard" else (counts.overlap_share, counts.first)
    return None if value is None else LayerFigure(value, n, resolution=1 / n)
