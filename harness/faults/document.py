"""The table of faults in REPRODUCIBILITY.md, made from faults.json."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError
from harness.runs.files import write_text
from harness.spec.faults import CleanRun, FaultReport, FaultResult

BEGIN, END = "<!-- made by `harness faults --document` -->", "<!-- end of what `harness faults` made -->"
DOCUMENT = Path(__file__).parents[2] / "REPRODUCIBILITY.md"
COLUMNS = ("#", "fault", "published scorer", "verdict", "what the harness said", "by")


def markdown(report: FaultReport) -> str:
    """A sentence on each run without a fault and one row for each fault."""
    caught = sum(fault.fate == "caught" for fault in report.faults)
    lines = [
        f"{caught} of {len(report.faults)} faults on `{report.variant}` are caught by what is there for them, in "
        f"{report.seconds:.0f} s; {_clean_words(report.clean)}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(_escaped(text) for text in row_of(fault)) + " |" for fault in report.faults),
    ]
    return "\n".join(lines)


def row_of(fault: FaultResult) -> tuple[str, ...]:
    """The texts of one row, in the order of COLUMNS."""
    by = {"caught": fault.by or "", "by_accident": f"**by accident**: {fault.by}", "missed": "**missed**"}[fault.fate]
    return (str(fault.number), fault.title, fault.published_words, fault.verdict, fault.said or "nothing", by)


def update_document(report: FaultReport, document: Path = DOCUMENT) -> None:
    """Put the table between the two marks of a document. Raises UserError where it lacks them."""
    try:
        text = document.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{document.name}: no such file beside the package; run this from a checkout") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{document.name}: the table of faults goes between the lines {BEGIN!r} and {END!r}; add them")
    write_text(document, f"{before}{BEGIN}\n\n{markdown(report)}\n\n{END}{after}")


def _clean_words(runs: tuple[CleanRun, ...]) -> str:
    alarms = sum(bool(run.alarms) for run in runs)
    variants = ", ".join(f"`{name}`" for name in dict.fromkeys(run.variant for run in runs))
    seeds = len({run.seed for run in runs})
    return f"of {len(runs)} runs without a fault ({variants}; {seeds} seed(s)) {alarms} raised an alarm."


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
