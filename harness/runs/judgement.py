"""From measurements to checks, and from checks to the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.formulas.comparison import within_tolerance
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.claim import Claim, Reference
from harness.spec.golden import GoldenFile, GoldenSource, GoldenTask, GoldenValue
from harness.spec.measurement import Measurement
from harness.spec.receipt import StageReceipt
from harness.spec.result import EXIT_CODES, CellResult, Check, CheckStatus, ClaimResult, Verdict, VerdictStatus


def golden_checks(
    spec: BenchmarkSpec, cells: Sequence[CellResult], skipped: dict[str, str], golden: GoldenFile | None
) -> list[Check]:
    """One check for every golden value and one for every measurement that has none."""
    values = golden.values if golden else ()
    by_cell = {cell.id: cell for cell in cells}
    drifted = {cell.id: drifted_metrics(spec, cell, golden) for cell in cells}
    checks = []
    for value in values:
        cell = by_cell.get(value.cell)
        measured = cell.measurement(value.metric) if cell else None
        if measured is None:
            checks.append(_missing(value, skipped))
        elif value.metric in drifted[value.cell] and not value.source.publication:
            message = f"{value.metric} is compared with nothing: {drifted[value.cell][value.metric]}"
            checks.append(_check(value, measured.value, "drift", message))
        else:
            checks += _compare(value, measured)
    if spec.golden_values == "required":
        known = {(value.cell, value.metric) for value in values}
        checks += [
            _without_golden(cell.id, measured)
            for cell in cells
            for measured in cell.measurements
            if (cell.id, measured.metric) not in known
        ]
    return checks


def drifted_metrics(spec: BenchmarkSpec, cell: CellResult, golden: GoldenFile | None) -> dict[str, str]:
    """Metrics of a cell that rest on another zero-shot task than the golden values, each with what changed."""
    known = golden.tasks if golden else {}
    found: dict[str, str] = {}
    for entry in (entry for entry in spec.evaluations if entry.asks_tasks):
        words: dict[str, str] = {}
        for task in known.keys() & cell.task_hashes.keys():
            measured = cell.measurement(entry.task_metric(task))
            if measured is not None and measured.n:
                drift = known[task].drift(GoldenTask.from_record(cell.task_hashes[task], measured.n))
                words |= {task: f"the task {task} is of {drift}"} if drift else {}
        found |= {entry.task_metric(task): text for task, text in words.items()}
        if words:
            found |= dict.fromkeys(entry.metrics_over_tasks, "; ".join(words.values()))
    return found


def _compare(golden: GoldenValue, measured: Measurement) -> list[Check]:
    if measured.valid != golden.valid:
        was, now = ("valid", "invalid") if golden.valid else ("invalid", "valid")
        reason = f": {measured.reason}" if measured.reason else ""
        return [_check(golden, measured.value, "failed", f"{golden.metric} was {was} and is {now} now{reason}")]
    if not measured.valid:
        message = f"{golden.metric} is invalid, as expected; its value is compared with nothing"
        return [_check(golden, measured.value, "skipped_invalid", message)]
    if golden.not_compared is not None:
        message = f"{golden.metric} is compared with nothing, as the golden file says: {golden.not_compared}"
        return [_check(golden, measured.value, "not_compared", message)]
    inside = within_tolerance(measured.value, golden.value, golden.same.width)
    shown = "no number" if measured.value is None else f"{measured.value:.6g}"
    message = (
        f"{golden.metric} is {shown}, expected {golden.value:.6g} ± {golden.same.width:.3g} "
        f"({golden.same.basis.replace('_', ' ')})"
    )
    return [_check(golden, measured.value, "passed" if inside else "failed", message)]


def _missing(golden: GoldenValue, skipped: dict[str, str]) -> Check:
    why = f"; the cell was skipped: {skipped[golden.cell]}" if golden.cell in skipped else ""
    message = f"{golden.metric} has a golden value but was not measured{why}"
    return _check(golden, None, "missing_measurement", message)


def _without_golden(cell: str, measured: Measurement) -> Check:
    return Check(
        cell=cell,
        metric=measured.metric,
        measured=measured.value,
        golden=None,
        difference=None,
        tolerance=None,
        basis=None,
        source=None,
        status="missing_golden",
        message=f"{measured.metric} has no golden value",
    )


def _check(golden: GoldenValue, measured: float | None, status: CheckStatus, message: str) -> Check:
    difference = None if measured is None else measured - golden.value
    return Check(
        cell=golden.cell,
        metric=golden.metric,
        measured=measured,
        golden=golden.value,
        difference=difference,
        tolerance=golden.same.width,
        basis=golden.same.basis,
        source=source_words(golden.source),
        status=status,
        message=message,
    )


def source_words(source: GoldenSource) -> str:
    """A golden value's source in one line."""
    if source.publication:
        return source.publication
    reason = f" ({source.reason})" if source.reason else ""
    return f"run {source.record or 'unknown'}{reason}"


def claim_checks(
    spec: BenchmarkSpec,
    results: Sequence[ClaimResult],
    skipped: dict[str, str],
    golden: GoldenFile | None,
    cells: Sequence[CellResult] = (),
) -> list[Check]:
    """Compare outcomes of claims with what the spec or the golden file expects of them.

    A control that is not evaluated fails, unless this variant can have none of its cells. So does a claim
    that only the golden file knows: nobody judges it any more. Where the golden file expects another outcome of a
    claim that rests on a zero-shot task which has changed, that is drift.
    """
    from_golden = golden.claims if golden else {}
    drifted = {metric for cell in cells for metric in drifted_metrics(spec, cell, golden)}
    unsettled = {claim.id for claim in spec.claims if drifted & _metrics_of(claim)}
    controls = {claim.id: claim for claim in spec.claims if claim.expect}
    checks = []
    for result in results:
        control = controls.get(result.id)
        want = control.expect if control else from_golden.get(result.id)
        if control and result.status == "not_evaluated" and _all_skipped(control, spec, skipped):
            continue
        if want is not None:
            different: CheckStatus = "drift" if control is None and result.id in unsettled else "failed"
            status: CheckStatus = "passed" if result.status == want else different
            checks.append(_of_claim(result.id, status, f"is {result.status}, expected {want}: {result.evidence}"))
        elif spec.golden_values == "required":
            message = f"is {result.status}; no outcome is expected of it in the golden file"
            checks.append(_of_claim(result.id, "missing_golden", message))
    for name in sorted(set(from_golden) - {result.id for result in results}):
        message = f"{name!r} is expected to be {from_golden[name]} in the golden file, but the spec has no such claim"
        checks.append(_of_claim(name, "failed", message))
    return checks


def _metrics_of(claim: Claim) -> set[str]:
    """The metrics that a claim compares."""
    bounds = [condition.bound for condition in claim.conditions if isinstance(condition.bound, Reference)]
    compared_with = {bound.metric for bound in bounds if bound.metric is not None}
    return {condition.metric for condition in claim.conditions} | compared_with


def _all_skipped(claim: Claim, spec: BenchmarkSpec, skipped: dict[str, str]) -> bool:
    spoken_of = [cell.id for cell in spec.expanded_cells() if {cell.id, cell.group} & set(claim.cells)]
    return all(cell in skipped for cell in spoken_of)


def _of_claim(claim: str, status: CheckStatus, message: str) -> Check:
    return Check(
        cell="claims",
        metric=claim,
        measured=None,
        golden=None,
        difference=None,
        tolerance=None,
        basis=None,
        source=None,
        status=status,
        message=f"the claim {message}",
    )


def verdict(
    cells: Sequence[CellResult],
    checks: Sequence[Check],
    canaries: Sequence[StageReceipt] = (),
    unfit: str | None = None,
) -> Verdict:
    """INVALID before UNFIT before FAILED before MISSING GOLDEN before DRIFT: a number that means nothing is the worst.

    A cause is told once, with the number of figures that it takes along. unfit: why the model measures nothing.
    """
    invalid = [f"canary: {canary.words}" for canary in canaries if not canary.holds]
    invalid += [f"{cell.id}: {receipt.words}" for cell in cells for receipt in cell.receipts if not receipt.holds]
    lost = [cell for cell in cells if cell.invalid_is_expected is None]
    invalid += [words for cell in lost for words in _invalid_by_cause(cell)]
    told = {(check.cell, check.metric) for check in checks if check.status == "failed"}
    invalid += [
        f"{cell.id}: {metric} has no value that is a number, and nothing says why"
        for cell in cells
        for metric in without_number(cell)
        if (cell.id, metric) not in told
    ]
    named = {(cell.id, m.metric) for cell in lost for m in cell.measurements if not m.valid}
    failed = [
        _words(check)
        for check in checks
        if check.status in ("failed", "missing_measurement") and (check.cell, check.metric) not in named
    ]
    missing = [_words(check) for check in checks if check.status == "missing_golden"]
    drifted = [_words(check) for check in checks if check.status == "drift"]
    ranked: list[tuple[VerdictStatus, list[str]]] = [
        ("invalid", invalid),
        ("unfit", [] if unfit is None else [unfit]),
        ("failed", failed),
        ("missing_golden", missing),
        ("drift", drifted),
    ]
    status: VerdictStatus = next((status for status, reasons in ranked if reasons), "passed")
    reasons = tuple(words for _, told in ranked for words in told)
    return Verdict(status=status, exit_code=EXIT_CODES[status], reasons=reasons)


def _invalid_by_cause(cell: CellResult) -> list[str]:
    """A line for each reason for which figures of a cell are invalid; a broken receipt's own words are not repeated."""
    by_reason: dict[str, list[str]] = {}
    for measured in cell.measurements:
        if not measured.valid:
            by_reason.setdefault(measured.reason or "", []).append(measured.metric)
    broken = {
        receipt.words: f"by the receipt {receipt.stage}/{receipt.name}"
        for receipt in cell.receipts
        if not receipt.holds
    }
    lines = []
    for reason, metrics in by_reason.items():
        which = f"{metrics[0]} is" if len(metrics) == 1 else f"{len(metrics)} figures, first {metrics[0]}, are"
        lines.append(f"{cell.id}: {which} invalid{f', {broken[reason]}' if reason in broken else f': {reason}'}")
    return lines


def without_number(cell: CellResult) -> list[str]:
    """Metrics that are called valid and have no value, or NaN, or infinity."""
    return [m.metric for m in cell.measurements if m.valid and (m.value is None or not math.isfinite(m.value))]


def _words(check: Check) -> str:
    return f"{check.cell}: {check.message}"
