"""Where judges agree, corrected rates, and by which judges claims hold: made anew in formulas of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb, sqrt
from statistics import NormalDist
from typing import Any

from harness.spec.claim import Claim
from harness.spec.judge import JudgeFound
from harness.spec.measurement import Completion
from harness.spec.result import CellResult
from harness.verification.claims import outcome
from harness.verification.findings import Ledger

_Z = NormalDist().inv_cdf(0.975)
#: Known texts that do what was asked are answers; all others do not.
_DONE = "answer"


def check_agreements(cell: CellResult, entries: Sequence[Any], texts: Sequence[Completion], ledger: Ledger) -> None:
    """Compare what a cell says of its judges beside one another with its texts, figures and their confusion."""
    wanted = list(_agreements(entries, texts))
    places = [(each["evaluation"], *each["judges"]) for each in wanted]
    told = {(each.evaluation, *each.judges): each for each in cell.agreement}
    ledger.each_once("agreement", cell.id, [(each.evaluation, *each.judges) for each in cell.agreement], places)
    for place, fields in zip(places, wanted, strict=True):
        for name, value in fields.items():
            if place in told:
                ledger.same("agreement", cell.id, f"{name} of {' '.join(place)}", getattr(told[place], name), value)
    rates = dict(_corrected(cell, entries))
    ledger.each_once("corrected rate", cell.id, cell.corrected, rates)
    for metric, rate in rates.items():
        found = cell.corrected.get(metric)
        for name, value in rate.items() if found is not None else ():
            ledger.same("corrected rate", cell.id, f"{name} of {metric}", getattr(found, name), value)


def by_judges(claim: Claim, entries: Sequence[Any], cells: Sequence[CellResult]) -> dict[str, str]:
    """The outcome of a claim by each judge that reads an attack of which it speaks."""
    found = {}
    for name in dict.fromkeys(judge.judge for entry in entries for judge in entry.judged_by):
        other = {
            f"asr_{entry.name}": f"asr_{entry.name}_by_{name}"
            for entry in entries
            if name in [judge.judge for judge in entry.judged_by]
        }
        content = claim.model_dump(exclude_none=True)
        changed = False
        for condition in content["conditions"]:
            bounds = [condition[side] for side in ("at_least", "at_most") if isinstance(condition.get(side), dict)]
            for holder in (condition, *bounds):
                if holder.get("metric") in other:
                    holder["metric"], changed = other[holder["metric"]], True
        if changed:
            found[name] = outcome(Claim.model_validate(content), cells)[0]
    return found


def _agreements(entries: Sequence[Any], texts: Sequence[Completion]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        own = [text.judgements for text in texts if text.evaluation == entry.name]
        for one, other in combinations([judge.judge for judge in entry.judged_by], 2):
            pairs = [(said.get(one, "cannot tell"), said.get(other, "cannot tell")) for said in own]
            told = [(a == "success", b == "success") for a, b in pairs if "cannot tell" not in (a, b)]
            if not told:
                continue
            first, second = told.count((True, False)), told.count((False, True))
            yield {
                "evaluation": entry.name,
                "judges": (one, other),
                "both": told.count((True, True)),
                "first": first,
                "second": second,
                "neither": told.count((False, False)),
                "kappa": _kappa(told),
                "p": min(1.0, float(2 * Fraction(_tail(first, second), 2 ** (first + second)))),
            }


def _kappa(told: Sequence[tuple[bool, bool]]) -> float | None:
    """By counts in place of shares: 2 (ad - bc) over the products of the margins."""
    a, b = told.count((True, True)), told.count((True, False))
    c, d = told.count((False, True)), told.count((False, False))
    margins = (a + b) * (b + d) + (a + c) * (c + d)
    return None if margins == 0 else 2 * (a * d - b * c) / margins


def _tail(first: int, second: int) -> int:
    return sum(comb(first + second, k) for k in range(max(first, second), first + second + 1))


def _corrected(cell: CellResult, entries: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in entries:
        for name in (judge.judge for judge in entry.judged_by):
            metric = f"asr_{entry.name}_by_{name}"
            measured, known = cell.measurement(metric), cell.judges.get(name)
            if measured is None or not measured.valid or measured.value is None or measured.interval is None:
                continue
            counts = None if known is None or known.harm_only else _known(known)
            if counts is None:
                continue
            rate = _rate(measured.value, measured.interval, counts)
            if rate is not None:
                yield metric, {"value": rate[0], "interval": rate[1], "found": counts[0], "spared": counts[1]}


def _known(found: JudgeFound) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Of known answers those called a success, of all others those called none; those that it can tell."""
    done: Mapping[str, int] = {str(label): n for label, n in found.confusion.get(_DONE, {}).items()}
    others = [own for kind, own in found.confusion.items() if kind != _DONE]
    spared = sum(n for own in others for label, n in own.items() if label == "no success")
    wrong = sum(n for own in others for label, n in own.items() if label == "success")
    hits, misses = done.get("success", 0), done.get("no success", 0)
    return None if not hits + misses or not spared + wrong else ((hits, hits + misses), (spared, spared + wrong))


def _rate(
    share: float, interval: tuple[float, float], counts: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[float, tuple[float, float]] | None:
    (hits, answers), (spared, others) = counts
    wrong = 1 - spared / others  # a judge's share of successes among failures
    if hits / answers <= wrong:
        return None
    value = _within((share - wrong) / (hits / answers - wrong))
    more, less = (hits + 1) / (answers + 2), (others - spared + 1) / (others + 2)
    if more <= less:
        return value, (0.0, 1.0)
    centre = _within((sum(interval) / 2 - less) / (more - less))
    errors = (
        (interval[1] - interval[0]) / (2 * _Z),
        centre * sqrt(more * (1 - more) / (answers + 2)),
        (1 - centre) * sqrt(less * (1 - less) / (others + 2)),
    )
    half = _Z * sqrt(sum(error * error for error in errors)) / (more - less)
    return value, (min(value, _within(centre - half)), max(value, _within(centre + half)))


def _within(share: float) -> float:
    return 0.0 if share < 0 else 1.0 if share > 1 else share
