"""What a point of a figure stands for: the cells and figures that it names, and the numbers of its place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from harness.formulas.statistics import spread_over_repetitions
from harness.regions.base import recorded
from harness.reports.read_back.known import TITLES, Known
from harness.shown import without_secrets
from harness.spec.measurement import Measurement

ACCURACY, SHARE, RANKS = "zero-shot accuracy (mean)", "share of the weights removed", "ranks removed"
FROZEN, BLOCK, STEP = "frozen share of the linear weights", "block", "step"
#: What the axes of figures are called below which it is known where a point belongs.
ACROSS = (ACCURACY, SHARE, RANKS, FROZEN, BLOCK, STEP)
_DRIFT = {
    "mean |Δw|": "absolute_mean",
    "mean |Δw| / |w|": "relative_mean",
    "median |Δw| / |w|": "relative_median",
    "norm of Δw / norm of w": "norm_ratio",
}
_MODULES = {"attention": "self_attn", "MLP": "mlp"}
_HEAD = re.compile(
    r"(?P<cell>[^\s,]+)(?:, (?P<more>[^(]*))? \((?P<owner>(?:this run|published): .*?)\)(?:, (?P<where>[^:]*))?: "
    r"(?P<rest>.*)",
    re.DOTALL,
)
_FIGURE = re.compile(r"(?P<title>.+?) (?P<value>no value|-?\d\S*)(?: (?P<interval>\[.*?\]))?(?P<invalid> INVALID)?")


@dataclass(frozen=True)
class Shown:
    """One figure as a point says it."""

    title: str
    number: str
    interval: str
    invalid: bool


@dataclass(frozen=True)
class Said:
    """What a point says of a cell. more: which resampling of it; where: the block, or the group and step."""

    cell: str
    more: str
    owner: str
    where: str
    figures: tuple[Shown, ...]

    @property
    def ours(self) -> bool:
        """Whether it is of the run, not published."""
        return self.owner.startswith("this run")

    @property
    def complete(self) -> bool:
        """Whether every figure counts and has a number."""
        return bool(self.figures) and not any(each.invalid or each.number == "no value" for each in self.figures)


@dataclass(frozen=True)
class Place:
    """Where a point is along one axis. rounding: how far the number may be off, where the text alone tells it."""

    number: float
    interval: tuple[float, float] | None = None
    rounding: float = 0.0


def said_by(text: str) -> list[Said]:
    """The cells that a point speaks of; none of what is no point of cells."""
    found: list[Said] = []
    for part in text.split("; "):
        head = _HEAD.fullmatch(part)
        if head is not None:
            found.append(Said(head["cell"], head["more"] or "", head["owner"], head["where"] or "", ()))
        figure = _FIGURE.fullmatch(head["rest"] if head is not None else part)
        if found and figure is not None:
            shown = Shown(figure["title"], figure["value"], figure["interval"] or "", bool(figure["invalid"]))
            last = found.pop()
            found.append(Said(last.cell, last.more, last.owner, last.where, (*last.figures, shown)))
    return found


def plainly(text: str) -> str:
    """Letters and digits: a figure writes other signs in its own way."""
    return "".join(filter(str.isalnum, without_secrets(text)))


def metrics_of(said: Said, title: str, panel: str, row: str, record: Known) -> list[str] | None:
    """The metrics that a title may stand for, in the panel and row of these names; None of a title of others."""
    if title in TITLES:
        return [TITLES[title]]
    if said.where.startswith("block "):
        return list(_of_layer(said, title, panel, record))
    if title in _DRIFT and ", step " in f", {said.where}":
        return list(_of_step(said, title, row, record))
    return None


def _of_layer(said: Said, title: str, panel: str, record: Known) -> Iterator[str]:
    """`jaccard/model.layers.3.mlp.up_proj`: the panel is called by the metric, the point by layer type and block."""
    family, _, kind = title.partition(" ")
    end = f"/model.layers.{said.where.removeprefix('block ')}.{_MODULES.get(family, family)}.{kind}"
    before = f"{said.more} " if said.more else ""
    row = f"{said.cell}, {said.more}" if said.more else said.cell
    for metric in record.measured.get(said.cell, ()):
        name = metric.removesuffix(end)
        words = name.replace("_", " ")
        if name == metric or not words.startswith(before):
            continue
        titles = [] if before else [name, f"{name}, {said.cell}"]
        titles.append(f"{words.removeprefix(before).removesuffix(' overlap share')}: {row}")
        if plainly(panel) in map(plainly, titles):
            yield metric


def _of_step(said: Said, title: str, row: str, record: Known) -> Iterator[str]:
    """`drift_safety/absolute_mean/checkpoint2`, of the evaluations whose weights the row is called by."""
    group, _, step = said.where.rpartition(", step ")
    for entry in record.record.spec.get("evaluations", ()):
        name = entry.get("name", entry.get("kind"))
        if not entry.get("groups") or not row.endswith(entry.get("merge_dtype", "float32")):
            continue
        for number in range(1, entry.get("checkpoints", 0) + 1):
            taken = record.measured.get(said.cell, {}).get(f"{name}/step/checkpoint{number}")
            if taken is not None and taken.value is not None and f"{taken.value:g}" == step:
                yield f"{name}_{group}/{_DRIFT[title]}/checkpoint{number}"


def measured(said: Said, metrics: Sequence[str], record: Known) -> list[Measurement]:
    """What the record has of them in the cell."""
    own = record.measured.get(said.cell, {})
    return [own[metric] for metric in metrics if metric in own]


def upwards(said: Sequence[Said], panel: str, row: str, record: Known) -> Place | None:
    """Where a point is on the vertical axis: its figure, or the mean and deviation of its cells'."""
    shown = next((each.figures[0] for each in said if each.figures), None)
    if shown is None:
        return None
    if not said[0].ours:
        numbers = [place for each in said for figure in each.figures[:1] if (place := _printed(figure))]
    else:
        metrics = [(each, metrics_of(each, shown.title, panel, row, record) or ()) for each in said]
        found = [known[0] for each, names in metrics if (known := measured(each, names, record))]
        numbers = [Place(each.value, each.interval) for each in found if _finite(each.value)]  # type: ignore[arg-type]
    if len(said) == 1 or not numbers:
        return next(iter(numbers), None)
    spread = spread_over_repetitions([each.number for each in numbers])
    width = spread.standard_deviation
    interval = None if width is None else (spread.mean - width, spread.mean + width)
    return Place(spread.mean, interval, max(each.rounding for each in numbers))


def across(axis: str, said: Said, record: Known) -> Place | None:
    """Where a point is on the horizontal axis of this name; None where nothing tells it."""
    if axis == ACCURACY and not said.ours:
        return next((place for each in said.figures if each.title == "accuracy" and (place := _printed(each))), None)
    if axis == BLOCK:
        return _at(said.where.removeprefix("block "))
    if axis == STEP:
        return _at(said.where.rpartition("step ")[2])
    return across_of_cell(axis, said.cell, record)


def across_of_cell(axis: str, cell: str, record: Known) -> Place | None:
    """Where the points of a cell of the run are on an axis that tells of cells."""
    known = record.cell(cell)
    if known is None:
        return None
    if axis == ACCURACY:
        found = record.measured[cell].get(TITLES[ACCURACY])
        return Place(found.value, found.interval) if found and _finite(found.value) else None  # type: ignore[arg-type]
    if axis == FROZEN:
        return _frozen(cell, record)
    return _at(known.parameters.get("fraction" if axis == SHARE else "rank"))


def _frozen(cell: str, record: Known) -> Place | None:
    """The share that is declared, or else the one that was measured."""
    tuning, known = record.declared.get(cell, {}).get("fine_tuning"), record.cell(cell)
    if not tuning:
        return None
    if not tuning.get("frozen"):
        return Place(0.0)
    region = recorded(tuning["frozen"])
    if region is not None and region.share is not None:
        return Place(region.share)
    return Place(known.fine_tuning.frozen_share_of_linear) if known and known.fine_tuning else None


def _printed(shown: Shown) -> Place | None:
    """A published number, to its last digit."""
    try:
        exponent = Decimal(shown.number).as_tuple().exponent
    except InvalidOperation:
        return None
    return Place(float(shown.number), None, 0.5 * 10.0**exponent) if isinstance(exponent, int) else None


def _at(number: object) -> Place | None:
    try:
        return Place(float(number))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
