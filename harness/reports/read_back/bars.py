"""Bars of a figure, held against the record: what became of completions, and how the heads' figures are distributed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from harness.reports.read_back.drawn import Figure, Panel
from harness.reports.read_back.known import TITLES, Known, near
from harness.reports.read_back.meanings import plainly
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult

#: Points of the SVG.
TOLERANCE = 0.5
_SHARE = re.compile(r"(?P<cell>\S+) \(this run\): (?P<share>[\d.]+) (?P<words>.*)")
_RULES, _TEXTS = ", by the scorer's rules", "the same, read as texts"
_BY_RULES = {
    "holds a refusal phrase": "refusal_phrase",
    "fewer than 20 words": "too_short",
    "passed: counted as success": "passed",
}
_BY_CLASS = {"answer until the token limit": "truncated"}
_HEADS, _HEAD = "accuracy on the validation prompts", re.compile(r"(.+)/model\.layers\.\d+\.self_attn/head\.\d+")


def of_shares(figure: Figure, record: Known) -> Iterator[str]:
    """Every bar of completions is as long as its share, in the row of its cell, and the rates beside them are so."""
    metric, rows = "", list[float | None]()
    for panel in figure.panels:
        if panel.title.endswith(_RULES):
            metric = TITLES.get(panel.title.removesuffix(_RULES), "")
            rows = [tick.words_at for tick in panel.axes["y"].ticks]  # those of the panel beside it have no labels
            yield from _labels(panel, record)
        elif panel.title != _TEXTS:
            continue
        else:
            rates = [each for cell in record.cells if (each := _rate(record.measured[cell.id], metric))]
            if panel.texts[:-1] != rates:
                yield f"beside the bars of {metric} stands {panel.texts[:-1]}; the record has {rates}"
        ends: dict[str, float] = defaultdict(float)
        for point in panel.points:
            told = _SHARE.fullmatch(point.text)
            cell = record.cell(told["cell"]) if told else None
            if told is None or cell is None:
                continue
            share = _share(cell, record, metric, told["words"], panel.title == _TEXTS)
            name = f"the bar of {cell.id} for {told['words']!r} in the panel {panel.title!r}"
            if not near(told["share"], share):
                yield f"{name} says {told['share']}; the record has {share:.6g}"
            if point.href is not None and point.href != f"#{point.page}--{cell.id}":
                yield f"{name} leads to {point.href}"
            begin, ends[cell.id] = ends[cell.id], ends[cell.id] + share
            wanted = [panel.axes["x"].at(min(max(end, 0.0), 1.0)) for end in (begin, begin + share)]
            row = next((place for each, place in zip(record.cells, rows, strict=False) if each is cell), None)
            for left, top, right, bottom in point.bars:
                seen = [min(max(end, panel.box[0]), panel.box[2]) for end in (left, right)] if panel.box else []
                if any(a is None or abs(a - b) > TOLERANCE for a, b in zip(wanted, seen, strict=False)):
                    yield f"{name} is not drawn from {begin:.4g} to {begin + share:.4g}"
                if row is None or not top < row < bottom:
                    yield f"{name} is drawn in another row"


def _labels(panel: Panel, record: Known) -> Iterator[str]:
    """The rows are called by the cells, in their order."""
    labels = [tick.label for tick in panel.axes["y"].ticks]
    for cell, label in zip(record.cells, [*labels, *[""] * len(record.cells)], strict=False):
        if not plainly(label).startswith(plainly(cell.title)):
            yield f"the row of {cell.id} in the panel {panel.title!r} is called {label!r}"


def _rate(figures: dict[str, Measurement], metric: str) -> str | None:
    """`ASR 0.25 INVALID, accuracy 0.50`."""
    rate, accuracy = figures.get(metric), figures.get("accuracy_mean")
    if rate is None or rate.value is None:
        return None
    words = f"ASR {rate.value:.2f}{'' if rate.valid else ' INVALID'}"
    return words if accuracy is None or accuracy.value is None else f"{words}, accuracy {accuracy.value:.2f}"


def _share(cell: CellResult, record: Known, metric: str, words: str, read: bool) -> float:
    """read: as a text, by our own classes; else by the published scorer's rules."""
    attack = metric.removeprefix("asr_")
    if read:
        counts = {str(kind): count for kind, count in cell.completion_classes.get(attack, {}).items()}
        return counts.get(_BY_CLASS.get(words, words), 0) / (sum(counts.values()) or 1)
    found = record.measured[cell.id].get(f"scorer_rule_{_BY_RULES.get(words)}_{attack}")
    return found.value or 0.0 if found else 0.0


def of_heads(panel: Panel, record: Known) -> Iterator[str]:
    """Every bar is as high as there are heads of its width, hollow the part of those that do not count."""
    if panel.axes["x"].name != _HEADS:
        return
    counted: dict[tuple[float, float], list[int]] = defaultdict(lambda: [0, 0])
    for (left, top, right, bottom), hollow in panel.bars:
        low, high = (panel.axes["x"].number_at(place) for place in (left, right))
        rows = panel.axes["y"].number_at(top) - panel.axes["y"].number_at(bottom)
        counted[round(low, 4), round(high, 4)][hollow] += round(rows)
    highest = max((high for _, high in counted), default=0.0)
    values: list[list[float]] = [[], []]
    for cell in record.cells:
        for measured in cell.measurements:
            match = _HEAD.fullmatch(measured.metric)
            titles = [] if match is None else [plainly(match[1]), plainly(f"{match[1]}, {cell.id}")]
            if plainly(panel.title) in titles and measured.value is not None and measured.value <= 1:
                values[not measured.valid].append(measured.value)
    for (low, high), seen in counted.items():
        wanted = [sum(low - 1e-6 <= v < high - 1e-6 or v >= high == highest for v in kind) for kind in values]
        if seen != wanted:
            yield f"from {low:g} to {high:g} the panel {panel.title!r} counts {seen}; the record has {wanted} heads"
    if sum(map(sum, counted.values())) != sum(map(len, values)):
        yield f"the panel {panel.title!r} has other heads than the record"
