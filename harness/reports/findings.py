"""What stands behind a verdict that is not `passed`: the figures, the tolerance, and the command to run next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.spec.result import Check, RunRecord, VerdictStatus

#: What a check that did not pass makes of a verdict.
_OF_CHECK: dict[str, VerdictStatus] = {
    "failed": "failed",
    "missing_measurement": "failed",
    "missing_golden": "missing_golden",
    "drift": "drift",
}
#: Where the width of a tolerance comes from, in words.
_BASES = {
    "binomial": "binomial: 95% sampling error of a share at n prompts",
    "seed_spread": "seed spread: what another seed changes",
    "hardware_spread": "hardware spread: what another processor may change",
    "order_statistics": "order statistics: how far the neighbours of a quantile lie away",
    "near_ties": "near ties: how many of n rounding may turn",
}


@dataclass(frozen=True)
class Finding:
    """One reason of a verdict. cell: its id, or `claims` or `canary`; check: the comparison behind it, if it is one."""

    cell: str
    status: VerdictStatus
    message: str
    next_command: str
    check: Check | None = None


def findings_of(record: RunRecord, path: Path) -> list[Finding]:
    """Every reason of the record's verdict, in its order. path: of the record, as commands are to name it."""
    checks = {f"{check.cell}: {check.message}": check for check in record.checks if check.status in _OF_CHECK}
    found = []
    for reason in record.verdict.reasons:
        cell, _, message = reason.partition(": ")
        check = checks.get(reason)
        status = _OF_CHECK[check.status] if check else "unfit" if record.verdict.status == "unfit" else "invalid"
        found.append(Finding(cell, status, message, _next_command(record, path, cell, status), check))
    return found


def told(finding: Finding) -> list[str]:
    """A finding as lines of text: the metric, both values, the tolerance with its basis, what to run next."""
    lines = [f"{finding.cell}: {words(finding.status)}: {finding.message}"]
    check = finding.check
    if check is not None and check.golden is not None:
        lines += [
            f"  metric     {check.metric}",
            f"  measured   {number(check.measured)}",
            f"  golden     {number(check.golden)}, from {check.source}",
            f"  tolerance  ± {number(check.tolerance)} ({_BASES.get(check.basis or '', check.basis)})",
        ]
    return [*lines, f"  next       {finding.next_command}"]


def words(status: VerdictStatus) -> str:
    """`MISSING GOLDEN`."""
    return status.replace("_", " ").upper()


def number(value: float | None) -> str:
    """Six digits, or that there is none."""
    return "no number" if value is None else f"{value:.6g}"


def by_cell(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings grouped by the cell that they are of."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.cell, []).append(finding)
    return grouped


def _next_command(record: RunRecord, path: Path, cell: str, status: VerdictStatus) -> str:
    shown = shlex.quote(path.as_posix())
    if status == "missing_golden":
        return f'harness accept {shown} --reason "why these are the right values"'
    return f"harness explain {shown}" + (f" {shlex.quote(cell)}" if record.cell(cell) else "")
