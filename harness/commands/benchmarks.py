"""The commands that run benchmarks, and what they print of the verdicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from harness.commands import report
from harness.commands.options import JSON, MODEL, of_a_run, of_several_runs
from harness.errors import MachineError, UserError
from harness.exit_codes import with_exit_codes
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.instead import Instead
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.terminal import console, echo, echo_json, echo_lines, styled

if TYPE_CHECKING:
    from harness.reports.ci import Judged
    from harness.spec.result import RunRecord

DEFAULT_VARIANTS = ("tiny-llama2-chat", "tiny-llama3-instruct")
STYLES = {"passed": "green", "failed": "red", "invalid": "magenta", "unfit": "magenta"} | dict.fromkeys(
    ("missing_golden", "drift"), "yellow"
)


@click.command()
@click.argument("benchmark")
@MODEL
@of_a_run
@JSON
@with_exit_codes
def run(benchmark: str, model: str, instead: Instead, out: Path, as_json: bool) -> None:
    """Run one BENCHMARK: a name, a YAML file, or a record.json whose spec is run again."""
    records = _execute([(benchmark, model)], out, instead)
    if as_json:
        echo_json(records[0].model_dump_json(indent=1))
    _finish(records, out, quiet=as_json)


@click.command()
@of_several_runs(DEFAULT_VARIANTS)
@with_exit_codes
def reproduce(models: tuple[str, ...], only: tuple[str, ...], instead: Instead, out: Path) -> None:
    """Run every benchmark, print the verdicts, write records, report.html, and the files for a CI as `regress`."""
    benchmarks = only or [path.stem for path in locations.benchmark_paths()]
    _refuse_weights_of_several(instead, models)
    chosen = [(benchmark, model) for model in models for benchmark in benchmarks]
    _finish([run.record for run in _run_for_ci(chosen, out, instead)], out, quiet=False)


@click.command()
@of_several_runs()
@with_exit_codes
def regress(models: tuple[str, ...], only: tuple[str, ...], instead: Instead, out: Path) -> None:
    """Run the benchmarks that have golden values for a model, and tell each figure that departs.

    Says both values, the tolerance with its basis and the next command to run. Writes junit.xml, summary.md,
    annotations.txt (workflow commands of GitHub) and report.html into the output folder.
    """
    from harness.reports import ci
    from harness.reports.findings import told

    _refuse_weights_of_several(instead, models)
    chosen = [(benchmark, model) for model in models for benchmark in only or _with_golden_values(model)]
    runs = _run_for_ci(chosen, out, instead)
    records = [run.record for run in runs]
    _print_verdicts(records)
    for run in runs:
        for finding in run.findings[: ci.MOST_FINDINGS_SHOWN]:
            first, *more = told(finding)
            echo()
            echo_lines([f"{run.title}, {first}", *more])
        if len(run.findings) > ci.MOST_FINDINGS_SHOWN:
            echo(f"{run.title}: … and {len(run.findings) - ci.MOST_FINDINGS_SHOWN} more in {out / ci.JUNIT}")
    _leave(records)


def _refuse_weights_of_several(instead: Instead, models: Sequence[str]) -> None:
    if instead.weights is not None and len(models) != 1:
        raise UserError("--weights is one checkpoint; expected exactly one --model that it is of")


def _execute(chosen: Sequence[tuple[str, str]], out: Path, instead: Instead) -> list[RunRecord]:
    """Run benchmarks on models, both as they were given, under a bar."""
    from harness.runs.processes import start_tracker

    start_tracker()
    from harness.api.benchmarks import run_together
    from harness.reports.progress import ProgressBar

    with ProgressBar() as progress:
        return [record for record, _ in run_together(chosen, out, instead, progress)]


def _run_for_ci(chosen: Sequence[tuple[str, str]], out: Path, instead: Instead) -> list[Judged]:
    """Run, and write what a machine shows of the verdicts, also where there are none, and the report."""
    from harness.reports import ci

    with ci.alone(out):
        try:
            records = _execute(chosen, out, instead)
        except (UserError, MachineError) as error:
            ci.write_refusal("harness", str(error), out)
            raise
        runs = [ci.judged(record, benchmark, out) for record, (benchmark, _) in zip(records, chosen, strict=True)]
        ci.write_ci_files(runs, out)
        report.write_html(out, out / "report.html")
    return runs


def _with_golden_values(model: str) -> list[str]:
    """The benchmarks that have golden values for the model, or need none."""
    variant = load_yaml_model(locations.find_variant(model), ModelVariant).name
    paths = locations.benchmark_paths()
    known = [path.stem for path in paths if locations.golden_path(variant, path.stem).is_file()]
    if orphans := [path for path in locations.golden_paths_of(variant) if path.stem not in known]:
        raise UserError(
            f"{', '.join(map(str, orphans))}: golden values of a benchmark that is in no catalogue; expected "
            f"benchmarks/{orphans[0].stem}.yaml: bring it back, remove its golden values, or name with --only what is "
            "to run"
        )
    if not known:
        raise UserError(
            f"{variant} has no golden values; expected golden/{variant}/BENCHMARK.yaml: run a benchmark with harness "
            "run, look at its record, and make them with harness accept"
        )
    needless = [path.stem for path in paths if load_yaml_model(path, BenchmarkSpec).golden_values == "none"]
    return sorted({*known, *needless})


def _print_verdicts(records: list[RunRecord]) -> None:
    from harness.reports.ci import VERDICT_COLUMNS, verdict_row

    table = Table(*VERDICT_COLUMNS)
    for record in records:
        benchmark, variant, verdict, *counts = verdict_row(record)
        table.add_row(benchmark, variant, styled(verdict, STYLES[record.verdict.status]), *counts)
    console().print(table)


def _finish(records: list[RunRecord], out: Path, quiet: bool) -> None:
    """Print the table of verdicts and leave with the gravest exit code."""
    if not quiet:
        _print_verdicts(records)
        for record in records:
            for reason in record.verdict.reasons[:20]:
                echo_lines([f"  {record.spec['id']}: {reason}"])
            if len(record.verdict.reasons) > 20:
                echo(f"  {record.spec['id']}: … and {len(record.verdict.reasons) - 20} more")
            echo(f"record: {out / record.id / 'record.json'}")
    _leave(records)


def _leave(records: list[RunRecord]) -> None:
    gravity = [0, 6, 4, 1, 3]
    sys.exit(max((record.verdict.exit_code for record in records), key=gravity.index, default=0))
