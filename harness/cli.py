"""The command line: results on stdout, progress on stderr, no logic."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.table import Table

import harness
from harness.commands import (
    benchmarks,
    calibration,
    catalogues,
    checkpoints,
    compare,
    data,
    doctor,
    explain,
    faults,
    figure,
    judge,
    listing,
    plan,
    prompts,
    record,
    report,
    schema,
    store,
    verify,
)
from harness.exit_codes import with_exit_codes
from harness.shown import in_short
from harness.spec.instead import shown
from harness.terminal import console, echo


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(harness.__version__, prog_name="harness")
def main() -> None:
    """Measure how brittle safety alignment is, and whether the measurement means anything.

    Exit codes: 0 as expected; 1 a check failed; 2 usage or bad input; 3 invalid, or the model unfit; 4 golden value
    missing; 5 the machine failed; 6 a zero-shot task has changed; 70 an error of the harness, with a traceback;
    130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP.
    """
    # Progress is ours; the bars of libraries would write over it. They read this when imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


for command in (
    checkpoints.score,
    checkpoints.subspaces,
    checkpoints.edit,
    calibration.calibration,
    prompts.prompts,
    explain.explain,
    compare.compare,
    verify.verify,
    record.record,
    judge.judge,
    faults.faults,
    data.data,
    plan.plan,
    doctor.doctor,
    benchmarks.run,
    benchmarks.reproduce,
    benchmarks.regress,
    report.report,
    figure.figure,
    listing.list_command,
    schema.schema,
    store.store,
):
    main.add_command(command)


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@with_exit_codes
def validate(paths: tuple[Path, ...]) -> None:
    """Check specs, variants, golden files and golden prompts; without PATHS, those of all catalogues.

    Golden files are held against the runs that they come from where those lie below runs/ of their catalogue.
    """
    from harness.runs.golden_runs import not_borne_out
    from harness.runs.names import look_up
    from harness.runs.unmatched_names import unmatched
    from harness.spec.validation import validate_files

    names = look_up(paths)
    number, doubts = validate_files(
        paths, lambda path, loaded: [*names(path, loaded), *not_borne_out(path, loaded)], unmatched(paths)
    )
    if doubts:
        echo(in_short("\n".join(f"warning: {doubt}" for doubt in doubts)), err=True)
    echo(f"{number} files are valid")


@main.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why these are the right values; kept in the golden file.")
@click.option("--tolerances-only", is_flag=True, help="Keep the values; derive their tolerances from RECORD.")
@with_exit_codes
def accept(record: Path, reason: str, tolerances_only: bool) -> None:
    """Write golden values from RECORD, old and new side by side. An invalid record is refused."""
    from harness.runs import acceptance

    bound = acceptance.bound_record(record)
    ties, before = acceptance.ties_beside(record, bound), acceptance.Before.of(bound, record)
    if tolerances_only:
        golden = acceptance.derive_tolerances(bound, reason, ties)
        echo(f"written: {acceptance.write_golden(golden, before)}")
        return
    changes, golden = acceptance.accept(bound, reason, ties)
    table = Table("cell", "metric", "old", "new", "note")
    for change in changes:
        table.add_row(
            change.cell,
            change.metric,
            _number(change.old),
            _number(change.new),
            change.note,
            style=None if change.old == change.new else "bold",
        )
    console().print(table)
    path = acceptance.write_golden(golden, before)
    echo(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


@main.group()
def organism() -> None:
    """Model organisms: tiny aligned models that ship with the package."""


@organism.command("build")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for it; of an aligned model, the cache by default."
)
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Seed of the build; default: the shipped one's.")
@click.option(
    "--from", "copies", type=click.Path(path_type=Path), help="A folder with files that were downloaded before."
)
@with_exit_codes
def organism_build(name: str, out: Path | None, seed: int | None, copies: Path | None) -> None:
    """Make an organism again from its recipe, in about ten minutes, or an aligned model, in about an hour.

    A build of an aligned model that was interrupted goes on.
    """
    from harness.reports.progress import ProgressBar
    from harness.runs.organism_build import build

    with ProgressBar() as progress:
        folder, facts = build(name, out, seed, progress.share, copies)
    for fact in facts:
        echo(fact)
    model = name if out is None else shown(str(folder))
    echo(f"{folder}: {name}; run a benchmark on it with: harness run figure-2a --model {model}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


catalogues.add_option(main)
