"""Claims of the paper on measured cells: supported, contradicted, or underpowered, by intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.formulas.rounding import rounded
from harness.formulas.statistics import difference_interval
from harness.spec.claim import Claim, ClaimStatus, Condition, Reference
from harness.spec.measurement import Measurement
from harness.spec.result import CellResult, ClaimResult

Interval = tuple[float, float]


@dataclass(frozen=True)
class _Finding:
    """Whether something holds: True, False, or None where the interval includes both. In words."""

    holds: bool | None
    words: str


def outcomes(claims: Sequence[Claim], cells: Sequence[CellResult], unfit: str | None) -> list[ClaimResult]:
    """Of every claim. unfit: why the model measures none of them, if so."""
    if unfit is not None:
        return [_result(claim, "not_evaluated", f"the model is unfit: {unfit}") for claim in claims]
    return [evaluate_claim(claim, cells) for claim in claims]


def evaluate_claim(claim: Claim, cells: Sequence[CellResult]) -> ClaimResult:
    """The outcome of a claim, with the interval of the cell that decides it.

    `any` is supported by one cell on which every condition holds, and contradicted if every cell
    fails one; `all` the other way round. An invalid measurement neither holds nor fails.
    """
    chosen = [cell for cell in cells if {cell.id, cell.group} & set(claim.cells) and _is_small_enough(claim, cell)]
    if not chosen:
        return _result(claim, "not_evaluated", "no cell of this run is one that the claim speaks of")
    findings = [_all_conditions(claim, cell, cells) for cell in chosen]
    deciding = claim.quantifier == "any"
    decided = [finding for finding in findings if finding.holds is deciding]
    if decided:
        return _result(claim, "supported" if deciding else "contradicted", decided[0].words)
    if all(finding.holds is (not deciding) for finding in findings):
        extra = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        return _result(claim, "contradicted" if deciding else "supported", findings[0].words + extra)
    undecided = next(finding for finding in findings if finding.holds is None)
    return _result(claim, "underpowered", undecided.words)


def _is_small_enough(claim: Claim, cell: CellResult) -> bool:
    """Whether the cell's edit is under every bound that the claim sets; one without the figure is not."""
    receipt = cell.receipt
    bounds = (
        (claim.sparsity_below, receipt.sparsity if receipt else None),
        (claim.rank_share_below, receipt.rank_share if receipt else None),
    )
    return all(bound is None or (size is not None and size < bound) for bound, size in bounds)


def _all_conditions(claim: Claim, cell: CellResult, cells: Sequence[CellResult]) -> _Finding:
    findings = [_condition(condition, cell, cells) for condition in claim.conditions]
    failed = [finding for finding in findings if finding.holds is False]
    unknown = [finding for finding in findings if finding.holds is None]
    holds = False if failed else None if unknown else True
    words = "; ".join(finding.words for finding in (failed or unknown or findings))
    return _Finding(holds, f"{cell.id}: {words}")


def _condition(condition: Condition, cell: CellResult, cells: Sequence[CellResult]) -> _Finding:
    figure = _usable(condition.metric, cell.measurement(condition.metric))
    if isinstance(figure, str):
        return _Finding(None, figure)
    bound = condition.bound
    value, interval = figure
    shown = f"{condition.metric} {rounded(value)} [{rounded(interval[0])}, {rounded(interval[1])}]"
    relation = "at least" if condition.at_least is not None else "at most"
    if isinstance(bound, Reference):
        found = _threshold(condition.metric, bound, cell, cells)
        if isinstance(found, str):
            return _Finding(None, found)
        threshold, spread = found
        margin = difference_interval(value, interval, threshold, spread)
        source = " of ".join(filter(None, (bound.metric, bound.cell)))
        shown += f", {relation} {rounded(threshold)} [{rounded(spread[0])}, {rounded(spread[1])}] from {source}"
    else:
        margin = (interval[0] - bound, interval[1] - bound)
        shown += f", {relation} {bound:g}"
    low, high = margin if condition.at_least is not None else (-margin[1], -margin[0])
    holds = True if low >= 0 else False if high < 0 else None
    return _Finding(holds, shown + {True: " holds", False: " fails", None: " is undecided"}[holds])


def _threshold(
    metric: str, reference: Reference, own: CellResult, cells: Sequence[CellResult]
) -> tuple[float, Interval] | str:
    """The bound and its interval, or why there is none. metric, own: what the condition is about."""
    cell = own if reference.cell is None else next((c for c in cells if c.id == reference.cell), None)
    metric = reference.metric or metric
    figure = _usable(metric, None if cell is None else cell.measurement(metric))
    if cell is None or isinstance(figure, str):
        return f"{reference.cell or own.id}: {figure}"
    value, interval = figure
    scale, offset = 1.0, reference.plus
    if reference.share_above_chance is not None:
        chance = cell.measurement(metric.rsplit("_", 1)[0] + "_chance")
        if chance is None or chance.value is None:
            return f"{cell.id}: the accuracy of chance was not measured"
        scale = reference.share_above_chance
        offset += (1 - scale) * chance.value
    return value * scale + offset, (interval[0] * scale + offset, interval[1] * scale + offset)


def _usable(metric: str, measured: Measurement | None) -> tuple[float, Interval] | str:
    """A value and its interval, which is the value itself where there is none; or why it cannot be used."""
    if measured is None:
        return f"{metric} was not measured"
    if not measured.valid:
        return f"{metric} is invalid: {measured.reason}"
    if measured.value is None:
        return f"{metric} has no value"
    return measured.value, measured.interval or (measured.value, measured.value)


def _result(claim: Claim, status: ClaimStatus, evidence: str) -> ClaimResult:
    return ClaimResult(id=claim.id, section=claim.section, says=claim.says, status=status, evidence=evidence)
