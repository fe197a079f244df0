"""What the suite of injected faults found: faults.json."""

from __future__ import annotations

from typing import Literal

from harness.spec.common import Name, Strict

#: The file's name in the folder of runs.
FAULTS = "faults.json"
#: `by_accident`: something raised an alarm, but nothing that is there for this fault.
Detection = Literal["caught", "by_accident", "missed"]


class FaultResult(Strict):
    """One fault in one run. said: the words of what caught it, or of the first alarm, or nothing.

    published: what the published scorer would have printed, by cell; only where it differs from a run without
    the fault. by: who said it. others: who else raised an alarm. stage: the step that the fault is in. figures,
    changed: how many figures of both runs were compared, and how many of them the fault changes; None where there are
    none. named: whether the message tells this fault from others; None in reports that do not say.
    """

    name: Name
    number: int
    title: str
    detection: Detection
    verdict: str
    published: dict[str, tuple[float | None, float | None]]
    by: str | None
    said: str | None
    caught_by: tuple[str, ...]
    others: tuple[str, ...]
    seconds: float
    stage: str = ""
    figures: int | None = None
    changed: int | None = None
    named: bool | None = None

    @property
    def changed_words(self) -> str:
        """`31 of 44`, or that there are none to change."""
        if self.figures is None or self.verdict in ("refused", "crashed"):
            return "no figure"
        return f"{self.changed} of {self.figures}" if self.changed else f"none of {self.figures}"

    @property
    def who(self) -> str:
        """Whose message it is: `receipts`, `canaries`, `verification`, or what refuses to load or validate."""
        if self.by is None:
            return "nobody"
        if "/" in self.by:
            return "canaries" if self.by.startswith("canary/") else "receipts"
        return self.by

    @property
    def published_words(self) -> str:
        """`snip-set-difference 0.00 (else 1.00)` for the cells whose figure the fault changes."""
        if self.verdict in ("refused", "crashed"):
            return "no figure"
        changed = [f"{cell} {_number(now)} (else {_number(before)})" for cell, (before, now) in self.published.items()]
        return "; ".join(changed) or "as without the fault"


def _number(value: float | None) -> str:
    return "no value" if value is None else f"{value:.2f}"


class CleanRun(Strict):
    """The small benchmark without a fault. alarms: what was said to be wrong, each a false alarm."""

    variant: str
    seed: int
    alarms: tuple[str, ...]
    seconds: float


class FaultReport(Strict):
    """faults.json: every fault on one variant, and the runs without a fault."""

    variant: str
    started: str
    git_commit: str | None
    faults: tuple[FaultResult, ...]
    clean: tuple[CleanRun, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Every fault is caught by what is there for it, and nothing else is called a fault."""
        return all(fault.detection == "caught" for fault in self.faults) and not any(run.alarms for run in self.clean)
