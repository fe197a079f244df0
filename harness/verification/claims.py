"""Outcomes of claims, made anew from the record's figures: by intervals, as docs/concepts/validity.md says."""

from __future__ import annotations

from collections.abc import Sequence

from harness.spec.claim import Claim, Condition, Reference
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult
from harness.verification.rates import apart

Interval = tuple[float, float]
_WORDS = {True: "holds", False: "fails", None: "is undecided"}


def outcome(claim: Claim, cells: Sequence[CellResult]) -> tuple[str, str]:
    """(status, evidence) of a claim."""
    spoken_of = [cell for cell in cells if (cell.id in claim.cells or cell.group in claim.cells) and _fits(claim, cell)]
    if not spoken_of:
        return "not_evaluated", "no cell of this run is one that the claim speaks of"
    found = [_whole(claim, cell, cells) for cell in spoken_of]
    # One cell decides `any` by holding, and `all` by failing.
    decisive = claim.quantifier == "any"
    by_one, by_all = ("supported", "contradicted") if decisive else ("contradicted", "supported")
    for holds, words in found:
        if holds is decisive:
            return by_one, words
    for holds, words in found:
        if holds is None:
            return "underpowered", words
    more = "" if len(found) == 1 else f" (and {len(found) - 1} more)"
    return by_all, found[0][1] + more


def unmeasured(why: str) -> tuple[str, str]:
    """Of a claim on a model that is unfit."""
    return "not_evaluated", f"the model is unfit: {why}"


def _fits(claim: Claim, cell: CellResult) -> bool:
    """Whether what the cell removes is as small as the claim says."""
    edit = cell.receipt
    sizes = (
        (claim.sparsity_below, None if edit is None else edit.sparsity),
        (claim.rank_share_below, None if edit is None else edit.rank_share),
    )
    return not any(below is not None and (size is None or size >= below) for below, size in sizes)


def _whole(claim: Claim, cell: CellResult, cells: Sequence[CellResult]) -> tuple[bool | None, str]:
    """All conditions on one cell; the words are those of the conditions that decide it."""
    found = [_condition(condition, cell, cells) for condition in claim.conditions]
    outcomes = [holds for holds, _ in found]
    decided = False if False in outcomes else None if None in outcomes else True
    return decided, f"{cell.id}: " + "; ".join(words for holds, words in found if holds is decided)


def _condition(condition: Condition, cell: CellResult, cells: Sequence[CellResult]) -> tuple[bool | None, str]:
    measured = cell.measurement(condition.metric)
    if (why := _unusable(condition.metric, measured)) is not None:
        return None, why
    value, spread = _with_interval(measured)
    side, bound = ("at least", condition.at_least) if condition.at_most is None else ("at most", condition.at_most)
    words = f"{condition.metric} {_short(value)} {_range(spread)}, {side} "
    if isinstance(bound, Reference):
        limit = _limit(condition.metric, bound, cell, cells)
        if isinstance(limit, str):
            return None, limit
        low, high = apart(value, spread, *limit)
        source = " of ".join(name for name in (bound.metric, bound.cell) if name is not None)
        words += f"{_short(limit[0])} {_range(limit[1])} from {source}"
    else:
        fixed = float(bound or 0.0)
        low, high = spread[0] - fixed, spread[1] - fixed
        words += f"{fixed:g}"
    if side == "at most":
        low, high = -high, -low
    holds = True if low >= 0 else False if high < 0 else None
    return holds, f"{words} {_WORDS[holds]}"


def _limit(metric: str, bound: Reference, own: CellResult, cells: Sequence[CellResult]) -> tuple[float, Interval] | str:
    """What another figure sets as a limit, with its interval; or why it sets none."""
    there = own
    if bound.cell is not None:
        named = [cell for cell in cells if cell.id == bound.cell]
        if not named:
            return f"{bound.cell}: {bound.metric or metric} was not measured"
        there = named[0]
    name = bound.metric or metric
    measured = there.measurement(name)
    if (why := _unusable(name, measured)) is not None:
        return f"{there.id}: {why}"
    value, (low, high) = _with_interval(measured)
    if bound.share_above_chance is None:
        return value + bound.plus, (low + bound.plus, high + bound.plus)
    chance = there.measurement(name.rpartition("_")[0] + "_chance")
    if chance is None or chance.value is None:
        return f"{there.id}: the accuracy of chance was not measured"
    share, rest = bound.share_above_chance, bound.plus + (1 - bound.share_above_chance) * chance.value
    return value * share + rest, (low * share + rest, high * share + rest)


def _unusable(metric: str, measured: Measurement | None) -> str | None:
    if measured is None:
        return f"{metric} was not measured"
    if not measured.valid:
        return f"{metric} is invalid: {measured.reason}"
    return f"{metric} has no value" if measured.value is None else None


def _with_interval(measured: Measurement | None) -> tuple[float, Interval]:
    """The value and its interval; of a figure without one the value itself."""
    value = measured.value if measured is not None and measured.value is not None else 0.0
    return value, (measured.interval if measured is not None and measured.interval else (value, value))


def _range(interval: Interval) -> str:
    return f"[{_short(interval[0])}, {_short(interval[1])}]"


def _short(value: float) -> str:
    return f"{value:.1e}" if value and -0.0015 < value < 0.0015 else f"{value:.3f}"
