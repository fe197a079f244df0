"""Verdicts for machines that show them: JUnit XML, a summary in Markdown, and annotations of the failing specs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from harness.errors import UserError
from harness.reading import real
from harness.reports.document import cell_text
from harness.reports.findings import Finding, by_cell, findings_of, number, told, words
from harness.runs.files import write_text, writing_error
from harness.shown import in_short, one_line, spelled_out, without_places
from harness.spec import locations
from harness.spec.loading import line_of_entry
from harness.spec.result import RunRecord, VerdictStatus
from harness.storage import IsLocked, locked

JUNIT, SUMMARY, ANNOTATIONS = "junit.xml", "summary.md", "annotations.txt"
#: Locked by the command that will write them.
_GUARD = ".ci.lock"
#: Of one record; the summary of a step on GitHub may be 1 MiB, a message is read by a person.
MOST_FINDINGS_SHOWN = 20
#: JUnit's element for each kind of finding.
_NOT_PASSED: dict[VerdictStatus, str] = {
    "failed": "failure",
    "missing_golden": "failure",
    "drift": "error",
    "invalid": "error",
    "unfit": "error",
}


@dataclass(frozen=True)
class Judged:
    """A record, the spec it is of, and the reasons of its verdict. spec: as it was given on the command line."""

    record: RunRecord
    spec: str
    findings: tuple[Finding, ...]

    @property
    def title(self) -> str:
        """`figure-2a on llama2-7b-chat`."""
        return f"{self.record.spec['id']} on {self.record.variant['name']}"


def judged(record: RunRecord, spec: str, out: Path) -> Judged:
    """The record of the run of a spec, written below `out`."""
    return Judged(record, spec, tuple(findings_of(record, out / record.id / "record.json")))


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Within it no other command writes these files in `out`. Raises UserError where one is at it.

    What an earlier command left is taken away, so that nobody reads it as the outcome of one that was killed.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(out / _GUARD, wait=False))
        except IsLocked:
            raise UserError(
                f"{out / JUNIT}: another command is at work that will write it; wait for it or use another --out"
            ) from None
        except OSError as error:
            raise writing_error(error, out) from None
        for name in (JUNIT, SUMMARY, ANNOTATIONS):
            (out / name).unlink(missing_ok=True)
        yield


def write_ci_files(runs: Sequence[Judged], out: Path) -> None:
    """junit.xml, summary.md and annotations.txt in `out`."""
    write_text(out / JUNIT, without_places(junit_xml(runs)))
    write_text(out / SUMMARY, without_places(summary(runs)))
    write_text(out / ANNOTATIONS, without_places("".join(f"{line}\n" for line in annotation_lines(runs))))


def write_refusal(title: str, message: str, out: Path) -> None:
    """The same three files for a command that ended before there was any record."""
    message = in_short(without_places(message))
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", name=title, tests="1", failures="0", errors="1", skipped="0")
    case = ElementTree.SubElement(suite, "testcase", classname=title, name="run")
    ElementTree.SubElement(case, "error", type="refused", message=_xml(message)).text = _xml(message)
    write_text(out / JUNIT, ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n")
    write_text(out / SUMMARY, f"# Nothing was measured\n\n{cell_text(message)}\n")
    write_text(out / ANNOTATIONS, f"::error title={_property(title)}::{_data(message)}\n")


def junit_xml(runs: Sequence[Judged]) -> str:
    """A suite for each record, a case for each cell, for the claims and the canaries.

    A figure that departs or has no golden value is a failure; one that means nothing, or is compared with nothing, an
    error.
    """
    suites = ElementTree.Element("testsuites")
    for run in runs:
        _suite(suites, run)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(suites: ElementTree.Element, run: Judged) -> None:
    record, found = run.record, by_cell(run.findings)
    seconds = {cell.id: cell.seconds for cell in record.cells}
    names = [*(["canary"] if record.canaries else []), *seconds, *(["claims"] if record.claims else [])]
    names += [cell for cell in found if cell not in names]
    skipped = {cell: why for cell, why in record.skipped_cells.items() if cell not in names}
    suite = ElementTree.SubElement(suites, "testsuite", name=_xml(run.title), timestamp=_xml(record.provenance.started))
    for name in [*names, *skipped]:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            name=_xml(name),
            time=f"{seconds.get(name, 0.0):.3f}",
            classname=_xml(f"{record.variant['name']}.{record.spec['id']}"),
        )
        _outcome(case, found.get(name, []))
        if name in skipped:
            ElementTree.SubElement(case, "skipped", message=_xml(skipped[name]))
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    suite.set("time", f"{sum(seconds.values()):.3f}")


def _outcome(case: ElementTree.Element, findings: Sequence[Finding]) -> None:
    """One element for all findings of a cell, by the gravest: JUnit's schema has room for one."""
    if findings:
        gravest = next((finding for finding in findings if _NOT_PASSED[finding.status] == "error"), findings[0])
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        element = ElementTree.SubElement(
            case, _NOT_PASSED[gravest.status], type=gravest.status, message=_xml(gravest.message + more)
        )
        element.text = _xml("\n".join(line for finding in findings for line in told(finding)))


def summary(runs: Sequence[Judged]) -> str:
    """Markdown: the table of verdicts, and for each record that did not pass its findings and what to run next."""
    parts = ["# Verdicts\n", verdict_table([run.record for run in runs])]
    for run in runs:
        if run.findings:
            parts += [
                f"\n## {cell_text(run.title)}: {words(run.record.verdict.status)}\n",
                _findings_table(run.findings),
            ]
    return "\n".join(parts) + "\n"


def verdict_table(records: Sequence[RunRecord]) -> str:
    """A Markdown table of benchmarks, variants and verdicts, without a line break at its end."""
    rows = [verdict_row(record) for record in records]
    cells = [list(map(cell_text, row)) for row in rows]
    return _table(VERDICT_COLUMNS, [[row[0], row[1], f"**{row[2]}**", *row[3:]] for row in cells])


VERDICT_COLUMNS = ("benchmark", "variant", "verdict", "checks passed", "cells", "claims supported")


def verdict_row(record: RunRecord) -> tuple[str, ...]:
    """What a table of verdicts says of a record, by VERDICT_COLUMNS."""
    passed = sum(check.status == "passed" for check in record.checks)
    supported = sum(claim.status == "supported" for claim in record.claims)
    return (
        record.spec["id"],
        record.variant["name"],
        words(record.verdict.status),
        f"{passed}/{len(record.checks)}",
        str(len(record.cells)),
        f"{supported}/{len(record.claims)}",
    )


def _findings_table(findings: Sequence[Finding]) -> str:
    rows = []
    for finding in findings[:MOST_FINDINGS_SHOWN]:
        check = finding.check
        compared = check is not None and check.golden is not None
        figures = (
            [number(check.measured), number(check.golden), f"± {number(check.tolerance)} ({check.basis})"]
            if check and compared
            else ["", "", ""]
        )
        texts = map(cell_text, (finding.cell, words(finding.status), finding.message, *figures))
        rows.append([*texts, _code(finding.next_command)])
    more = len(findings) - len(rows)
    told_in = f"\n\n… and {more} more: all are in {JUNIT}" if more else ""
    return _table(("cell", "verdict", "why", "measured", "golden", "tolerance", "next"), rows) + told_in


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(command: str) -> str:
    """A command in a cell, of which no character begins or ends anything."""
    return "`" + one_line(command).replace("`", "'").replace("|", "\\|") + "`"


def annotation_lines(runs: Sequence[Judged]) -> list[str]:
    """Workflow commands of GitHub that mark the failing specs, one for each record: it shows ten of a step."""
    lines = []
    for run in runs:
        if run.findings:
            first, more = run.findings[0], len(run.findings) - 1
            text = "\n".join(told(first)) + (f"\n… and {more} more: see {JUNIT}" if more else "")
            title = f"{run.title}: {words(run.record.verdict.status)}"
            lines.append(f"::error {_place(run, first)}title={_property(title)}::{_data(text)}")
    return lines


def _place(run: Judged, finding: Finding) -> str:
    """`file=benchmarks/figure-2a.yaml,line=20,` where the spec is a file of the checkout; else nothing."""
    try:
        path = locations.find_benchmark(run.spec)
    except UserError:
        return ""
    tops = (locations.root().resolve(), Path.cwd())
    file = next((real(path).relative_to(top) for top in tops if real(path).is_relative_to(top)), None)
    if path.suffix == ".json" or file is None:
        return ""
    cell = run.record.cell(finding.cell)
    if finding.cell == "claims" and finding.check is not None:
        line = line_of_entry(path, "claims", finding.check.metric)
    else:
        line = line_of_entry(path, "cells", cell.group if cell else finding.cell)
    return f"file={_property(file.as_posix())},line={line},"


def _data(text: str) -> str:
    return spelled_out(text).replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _xml(text: str) -> str:
    """Text that XML has a way to write: noncharacters and the like are hidden, and so spelled out."""
    return spelled_out(text)
