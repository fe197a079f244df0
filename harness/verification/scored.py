"""Figures of what was scored: accuracy from log-likelihoods, perplexity from surprises, made anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.spec.measurement import Measurement, Scored
from harness.spec.result import CellResult
from harness.verification.findings import Ledger
from harness.verification.rates import Figure, Rate, mean_of, mean_over, share_of
from harness.verification.recorded import Recorded

#: e to more than this is held below the largest float.
_LARGEST_EXPONENT = 700.0
Rows = Sequence[Scored]


def scored_figures(run: Recorded, cell: CellResult, ledger: Ledger) -> list[Figure]:
    """Figures of a cell's evaluations that score; where what was scored is not there, that is noted."""
    found: list[Figure] = []
    for entry in run.spec.evaluations:
        make = _OF_SCORED.get(entry.kind)
        if make is None:
            continue
        rows = [row for row in run.scored.get(cell.id, ()) if row.evaluation == entry.name]
        _check_places(run, cell, entry, rows, ledger)
        if rows:
            found += make(entry, rows, {measured.metric: measured for measured in cell.measurements})
    return found


def is_scored(kind: str) -> bool:
    """Whether figures of this kind of evaluation are made of what was scored."""
    return kind in _OF_SCORED


def _check_places(run: Recorded, cell: CellResult, entry: Any, rows: Rows, ledger: Ledger) -> None:
    """Every item and window once, as in every other cell, and as many as the spec says at most."""
    all_rows = [row for each in run.record.cells for row in run.scored.get(each.id, ()) if row.evaluation == entry.name]
    numbers: dict[str, int] = {}
    for row in all_rows:
        numbers[row.part] = max(numbers.get(row.part, 0), row.index + 1)
    parts: Sequence[str] = run.record.variant.get("zero_shot_tasks", ()) if entry.asks_tasks else [""]
    wanted = [(entry.name, part, index) for part in parts for index in range(max(numbers.get(part, 0), 1))]
    ledger.each_once("scored", cell.id, [(row.evaluation, row.part, row.index) for row in rows], wanted)
    most = entry.limit if entry.asks_tasks else entry.windows
    for part, number in numbers.items():
        if most is not None and number > most:
            ledger.wrong("scored", cell.id, f"{entry.name} {part}".strip(), number, f"{most} at most")
    first = {(row.part, row.index): (row.right, row.tokens, len(row.values)) for row in reversed(all_rows)}
    for row in rows:
        called = f"{entry.name} {row.part} {row.index}".replace("  ", " ")
        known = first[row.part, row.index]
        ledger.same("item", cell.id, called, (row.right, row.tokens, len(row.values)), known)
        if not entry.asks_tasks:
            ledger.same("item", cell.id, f"tokens of {called}", row.tokens, entry.window_tokens - 1)


def _accuracies(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """Of each task, the share of items whose likeliest choice is right; their mean, and what chance would give."""
    by_task: dict[str, list[Scored]] = {}
    for row in rows:
        by_task.setdefault(row.part, []).append(row)
    why = None
    for task, own in by_task.items():
        if any(value is None for row in own for value in row.values):
            why = f"the model gives answers of {task} a log-likelihood that is not finite"
    rates = {task: share_of([_is_right(row) for row in own]) for task, own in by_task.items()}
    chances = [sum(1 / len(row.values) for row in own) / len(own) for own in by_task.values()]
    mean = mean_over(list(rates.values()))
    chance = Figure(f"{entry.name}_chance", sum(chances) / len(chances), mean.n)
    named: dict[str, Rate] = {**{f"{entry.name}_{task}": rate for task, rate in rates.items()}}
    figures = [rate.figure(name, why) for name, rate in {**named, f"{entry.name}_mean": mean}.items()]
    if why is not None:  # which of such likelihoods is the largest, nobody can say: the share is what it is
        figures = [_as_recorded(figure, recorded.get(figure.metric)) for figure in figures]
    return [*figures, chance]


def _is_right(row: Scored) -> bool:
    """Whether the first of the likeliest choices is a right one."""
    likelihoods = [-math.inf if value is None else value for value in row.values]
    return likelihoods.index(max(likelihoods)) in row.right


def _as_recorded(figure: Figure, recorded: Measurement | None) -> Figure:
    """The figure with its number and reason, and with the value that nobody can check."""
    if recorded is None:
        return figure
    return Figure(figure.metric, recorded.value, figure.n, recorded.standard_error, recorded.interval, figure.why, None)


def _perplexity(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """e to the mean surprise of a token over windows; the standard error by the slope of e to the mean."""
    losses = [row.values[0] / row.tokens for row in rows if row.values and row.values[0] is not None and row.tokens]
    if len(losses) < len(rows):
        why = "the model gives text a log-likelihood that is not finite"
        return [Figure(entry.name, None, len(rows), why=why)]
    mean = mean_of(losses)
    value = _exponential(mean.value)
    interval = (_exponential(mean.interval[0]), _exponential(mean.interval[1]))
    return [Figure(entry.name, value, mean.n, value * mean.error, interval)]


def _exponential(value: float) -> float:
    return math.exp(value if value < _LARGEST_EXPONENT else _LARGEST_EXPONENT)


_OF_SCORED: Mapping[str, Callable[[Any, Rows, Mapping[str, Measurement]], list[Figure]]] = {
    "zero_shot": _accuracies,
    "perplexity": _perplexity,
}
