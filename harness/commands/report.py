"""The command that makes the report: a file to open, or tables of Markdown."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.errors import UserError
from harness.exit_codes import with_exit_codes
from harness.terminal import echo


@click.command()
@click.argument("runs_dir", required=False, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write. Default: report.html; with --markdown, stdout."
)
@click.option(
    "--show-completions",
    is_flag=True,
    help="Show texts of real models too, harmful ones among them: for this machine alone.",
)
@click.option("--markdown", is_flag=True, help="Print a table of RUNS_DIR; without RUNS_DIR, of the golden values.")
@click.option("--document", is_flag=True, help="Put the table of the golden values into docs/results/golden.md.")
@click.option("--check", is_flag=True, help="Exit with 1, and a diff, unless docs/results/golden.md has that table.")
@with_exit_codes
def report(
    runs_dir: Path | None, out: Path | None, show_completions: bool, markdown: bool, document: bool, check: bool
) -> None:
    """Make one self-contained HTML file from the newest record of every benchmark and variant in RUNS_DIR.

    Or a table of them (--markdown). The table in docs/results/golden.md is made from golden/ alone, so that any
    checkout can check it without a run: what the values are, which runs they come from, what became of the claims.
    """
    if runs_dir is None and not markdown:
        raise UserError("no folder of runs is named; give one, or --markdown for a table of the golden values")
    if (document or check) and (runs_dir is not None or out is not None or not markdown):
        raise UserError(
            "--document and --check are of the table that --markdown makes from golden/; give neither a "
            "folder of runs nor --out with them: harness report --markdown --check"
        )
    if show_completions and markdown:
        raise UserError("--show-completions is of the HTML report; a table of --markdown shows no texts")
    if document or check:
        _golden_table(document)
    elif markdown or runs_dir is None:
        _print(_markdown(runs_dir), out)
    else:
        write_html(runs_dir, out or Path("report.html"), show_completions)


def write_html(runs_dir: Path, out: Path, show_completions: bool = False) -> None:
    """Write the report and say where. Raises UserError where texts are asked for on a machine of others."""
    from harness.commands.doubted import warn_of_doubts
    from harness.reports.html import newest_records, write_report

    if show_completions and os.environ.get("CI"):
        raise UserError(
            "--show-completions was given where CI is set; texts of real models are for the machine that "
            "made them: run this there, without the option here"
        )
    for path, record in newest_records(runs_dir):
        warn_of_doubts(path, record)
    echo(f"report: {write_report(runs_dir, out, show_completions=show_completions)}")


def _markdown(runs_dir: Path | None) -> str:
    from harness.commands.doubted import warn_of_doubts
    from harness.reports.html import newest_records
    from harness.reports.markdown import table_of_golden, table_of_runs
    from harness.spec import locations

    if runs_dir is None:
        return table_of_golden(locations.golden_paths(), locations.benchmark_paths())
    records = newest_records(runs_dir)
    for path, record in records:
        warn_of_doubts(path, record)
    return table_of_runs([record for _, record in records])


def _golden_table(document: bool) -> None:
    """Put it into the document, or print how the document differs and exit with 1."""
    from harness.reports.markdown import PLACE

    table = _markdown(None)
    if document:
        PLACE.put(table)
    differences = PLACE.differences(table)
    for line in differences:
        echo(line)
    if differences:
        echo(f"{PLACE.document.name}: not up to date with golden/; run: harness report --markdown --document", err=True)
        sys.exit(1)
    echo(f"{PLACE.document.name}: {PLACE.what} is up to date with golden/")


def _print(text: str, out: Path | None) -> None:
    from harness.runs.files import write_text

    if out is None:
        echo(text)
        return
    write_text(out, text + "\n")
    echo(f"written: {out}")
