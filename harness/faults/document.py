"""The table of faults in docs/concepts/faults.md, made from faults.json."""

from __future__ import annotations

from collections.abc import Sequence

from harness.reports.document import Place, markdown_table
from harness.spec.faults import CleanRun, FaultReport, FaultResult

PLACE = Place(
    "the table of faults",
    "<!-- made by `harness faults --document` -->",
    "<!-- end of what `harness faults` made -->",
    "concepts/faults.md",
)
COLUMNS = (
    "#",
    "step",
    "fault",
    "figures changed",
    "published scorer",
    "verdict",
    "what the harness said",
    "by",
    "who",
    "names it",
)


def markdown(report: FaultReport) -> str:
    """A sentence on each run without a fault and one row for each fault."""
    caught = sum(fault.detection == "caught" for fault in report.faults)
    words = (
        f"{caught} of {len(report.faults)} faults on `{report.variant}` are caught by what is there for them, in "
        f"{report.seconds:.0f} s{_idle_words(report.faults)}; {_clean_words(report.clean)}"
    )
    return f"{words}\n\n{markdown_table(COLUMNS, map(row_of, report.faults))}"


def row_of(fault: FaultResult) -> tuple[str, ...]:
    """The texts of one row, in the order of COLUMNS."""
    by = {"caught": fault.by or "", "by_accident": f"**by accident**: {fault.by}", "missed": "**missed**"}[
        fault.detection
    ]
    named = {True: "yes", False: "no", None: "-"}[fault.named]
    said = fault.said or "nothing"
    texts = (fault.stage, fault.title, fault.changed_words, fault.published_words, fault.verdict, said, by)
    return (str(fault.number), *texts, fault.who, named)


def _idle_words(faults: Sequence[FaultResult]) -> str:
    """The faults that change no figure of a run, which are caught all the same or need not be."""
    idle = [fault.title for fault in faults if fault.figures and not fault.changed]
    return f"; {len(idle)} of them change no figure ({'; '.join(idle)})" if idle else ""


def _clean_words(runs: tuple[CleanRun, ...]) -> str:
    alarms = sum(bool(run.alarms) for run in runs)
    variants = ", ".join(f"`{name}`" for name in dict.fromkeys(run.variant for run in runs))
    seeds = len({run.seed for run in runs})
    return f"of {len(runs)} runs without a fault ({variants}; {seeds} seed(s)) {alarms} raised an alarm."
