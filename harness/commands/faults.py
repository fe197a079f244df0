"""The command that injects faults and tells who noticed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from rich.table import Table

from harness.exit_codes import with_exit_codes
from harness.terminal import console, echo, styled

#: How the outcome of a fault looks.
STYLES = {"caught": "green", "by_accident": "yellow", "missed": "red"}
ORGANISMS = ("tiny-llama2-chat", "tiny-llama3-instruct")


@click.command()
@click.option("--model", default=ORGANISMS[0], show_default=True, help="The organism that gets the faults.")
@click.option("--only", multiple=True, metavar="NAME", help="Inject only this fault; may be repeated.")
@click.option(
    "--seeds",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Run without a fault with so many seeds on both organisms, and count false alarms.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder for faults.json, which `harness report` shows.",
)
@click.option("--document", is_flag=True, help="Put the table into docs/concepts/faults.md.")
@with_exit_codes
def faults(model: str, only: tuple[str, ...], seeds: int, out: Path, document: bool) -> None:
    """Inject every known fault into a real run, one at a time, and report who noticed.

    Exit code 0 only if each is caught by what is there for it, and no run without a fault raises an alarm.
    """
    from harness.runs.processes import start_tracker

    start_tracker()
    from harness.faults.document import PLACE, markdown
    from harness.faults.suite import run_suite
    from harness.runs.files import write_instead
    from harness.spec import locations
    from harness.spec.faults import FAULTS
    from harness.storage import seen

    before = seen(out / FAULTS)
    clean = [(locations.find_variant(name), seed) for name in ORGANISMS for seed in range(seeds)]
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        report = run_suite(
            locations.find_variant(model), only, clean, Path(folder), lambda words: echo(words, err=True)
        )
    write_instead(before, report.model_dump_json(indent=1) + "\n")
    table = Table("#", "fault", "outcome", "by", "published scorer")
    for fault in report.faults:
        table.add_row(
            str(fault.number),
            fault.title,
            styled(fault.detection.replace("_", " "), STYLES[fault.detection]),
            fault.by or "-",
            fault.published_words,
        )
    console().print(table)
    for fault in report.faults:
        echo(f"{fault.name}: {fault.said or 'nobody said anything'}")
    for run in report.clean:
        echo(f"without a fault, {run.variant}, seed {run.seed}: {'; '.join(run.alarms) or 'no alarm'}")
    echo(f"written: {out / FAULTS}; {report.seconds:.0f} s")
    if document:
        PLACE.put(markdown(report))
    sys.exit(0 if report.passed else 1)
