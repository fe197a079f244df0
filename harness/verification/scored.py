"""Figures of what an engine scored: accuracy from log-likelihoods, perplexity from negative log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.spec.measurement import Measurement, RawValues
from harness.spec.result import CellResult
from harness.verification.rates import Figure, Rate, mean_of, mean_over, share_of

#: e to more than this is held below the largest float.
_LARGEST_EXPONENT = 700.0
Rows = Sequence[RawValues]
Counted = Mapping[str, object]


def item_places(entry: Any, cell: CellResult, every: Rows, counted: Counted) -> Iterable[tuple[str, int]]:
    """The first items of each task, as many as were counted in its data, which the limit may cut; one at least."""
    beginning = "items_of_"
    found = {name.removeprefix(beginning): n for name, n in counted.items() if name.startswith(beginning)}
    tasks = dict.fromkeys([*found, *(row.part for row in every)])
    return ((task, index) for task in tasks for index in range(_number(found.get(task)) or 1))


def item_problem(entry: Any, row: RawValues) -> str | None:
    """Two choices at least, and right ones among them; no item behind the limit."""
    if len(row.values) < 2 or not row.right or not all(0 <= right < len(row.values) for right in row.right):
        return "two choices at least, and which of them are right"
    return f"item {entry.limit - 1} at most" if entry.limit is not None and row.index >= entry.limit else None


def window_places(entry: Any, cell: CellResult, every: Rows, counted: Counted) -> Iterable[tuple[str, int]]:
    """The first windows: as many as the text has whole ones, and no more than the spec asks for."""
    whole = _number(counted.get("text_tokens")) // entry.window_tokens
    return (("", index) for index in range(whole if entry.windows is None else min(whole, entry.windows)))


def window_problem(entry: Any, row: RawValues) -> str | None:
    """One sum over all tokens of a window but the first; no window behind the last that is asked for."""
    if len(row.values) != 1 or row.n != entry.window_tokens - 1:
        return f"one negative log-likelihood, over {entry.window_tokens - 1} tokens"
    return f"window {entry.windows - 1} at most" if entry.windows is not None and row.index >= entry.windows else None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def accuracies(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """Of each task, the share of items whose likeliest choice is right; their mean, and what chance would give."""
    by_task: dict[str, list[RawValues]] = {}
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


def _is_right(row: RawValues) -> bool:
    """Whether the first of the likeliest choices is a right one."""
    likelihoods = [-math.inf if value is None else value for value in row.values]
    return likelihoods.index(max(likelihoods)) in row.right


def _as_recorded(figure: Figure, recorded: Measurement | None) -> Figure:
    """The figure with its number and reason, and with the value that nobody can check."""
    if recorded is None:
        return figure
    return Figure(figure.metric, recorded.value, figure.n, recorded.standard_error, recorded.interval, figure.why, None)


def perplexity(entry: Any, rows: Rows, recorded: Mapping[str, Measurement]) -> list[Figure]:
    """e to the mean over windows of a token's negative log-likelihood; the standard error by the slope of e there."""
    losses = [row.values[0] / row.n for row in rows if row.values[0] is not None and row.n]
    if len(losses) < len(rows):
        why = "the model gives text a log-likelihood that is not finite"
        return [Figure(entry.name, None, len(rows), why=why)]
    if len(losses) < 2:
        return []  # no error follows from one window, and that windows are missing has been noted
    mean = mean_of(losses)
    value = _exponential(mean.value)
    interval = (_exponential(mean.interval[0]), _exponential(mean.interval[1]))
    return [Figure(entry.name, value, mean.n, value * mean.error, interval)]


def _exponential(value: float) -> float:
    return math.exp(value if value < _LARGEST_EXPONENT else _LARGEST_EXPONENT)
