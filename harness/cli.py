"""The command line: results on stdout, progress on stderr, no logic."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

import harness
from harness import plugins
from harness.commands import calibration, checkpoints, explain, faults, figure, prompts
from harness.exit_codes import with_exit_codes
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model, recorded_spec
from harness.spec.variant import ModelVariant

if TYPE_CHECKING:
    from harness.runs.binding import BoundBenchmark
    from harness.spec.result import RunRecord

OUT = click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True,
                   help="Folder for records, scores and reports.")  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
DEFAULT_VARIANTS = ("tiny-llama2-chat", "tiny-llama3-instruct")
STYLES = {"passed": "green", "failed": "red", "invalid": "magenta", "missing_golden": "yellow"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(harness.__version__, prog_name="harness")
def main() -> None:
    """Measure how brittle safety alignment is, and whether the measurement means anything.

    Exit codes: 0 as expected; 1 a check failed; 2 usage or bad input; 3 invalid; 4 golden value
    missing; 5 the machine failed; 70 an error of the harness, with a traceback.
    """
    # Progress is ours; the bars of libraries would write over it. They read this when imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


for command in (checkpoints.score, checkpoints.subspaces, checkpoints.edit, calibration.calibration, prompts.prompts,
                explain.explain, faults.faults, figure.figure):  # fmt: skip
    main.add_command(command)


@main.command("list")
@JSON
@with_exit_codes
def list_command(as_json: bool) -> None:
    """List benchmarks, model variants, methods, engines and evaluations."""
    content = {
        "benchmarks": {p.stem: load_yaml_model(p, BenchmarkSpec).title for p in locations.benchmark_paths()},
        "models": {p.stem: load_yaml_model(p, ModelVariant).title for p in locations.variant_paths()},
        **{kind: plugins.names(kind) for kind in ("attribution", "engines", "evaluations")},
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(content, indent=1))
        return
    for kind, entries in content.items():
        click.echo(kind)
        for name in entries:
            click.echo(f"  {name:<22} {entries[name] if isinstance(entries, dict) else ''}".rstrip())


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@with_exit_codes
def validate(paths: tuple[Path, ...]) -> None:
    """Check specs, variants, golden files and golden prompts; without PATHS, all that ship."""
    from harness.spec.validation import validate_files

    click.echo(f"{validate_files(paths)} files are valid")


@main.command()
@click.argument("benchmark")
@click.option("--model", "model", required=True, help="A variant's name, its YAML file, or a checkpoint directory.")
@OUT
@JSON
@with_exit_codes
def run(benchmark: str, model: str, out: Path, as_json: bool) -> None:
    """Run one BENCHMARK: a name, a YAML file, or a record.json whose spec is run again."""
    records = _execute([(benchmark, model)], out)
    if as_json:
        click.echo(records[0].model_dump_json(indent=1))
    _finish(records, out, quiet=as_json)


@main.command()
@click.option("--model", "models", multiple=True, help="A variant; may be repeated. Default: the shipped organisms.")
@click.option("--only", multiple=True, metavar="BENCHMARK", help="Run only this benchmark; may be repeated.")
@OUT
@with_exit_codes
def reproduce(models: tuple[str, ...], only: tuple[str, ...], out: Path) -> None:
    """Run every benchmark, print the verdicts, write records and report.html."""
    benchmarks = only or [path.stem for path in locations.benchmark_paths()]
    records = _execute([(benchmark, model) for model in models or DEFAULT_VARIANTS for benchmark in benchmarks], out)
    _write_report(out, out / "report.html")
    _finish(records, out, quiet=False)


@main.command()
@click.argument("runs_dir", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True)
@with_exit_codes
def report(runs_dir: Path, out: Path) -> None:
    """Make one self-contained HTML file from the newest record of every benchmark and variant in RUNS_DIR."""
    _write_report(runs_dir, out)


@main.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why these are the right values; kept in the golden file.")
@with_exit_codes
def accept(record: Path, reason: str) -> None:
    """Write golden values from RECORD, old and new side by side. An invalid record is refused."""
    from harness.runs import acceptance
    from harness.runs.journal import read_record

    changes, golden = acceptance.accept(read_record(record), reason)
    table = Table("cell", "metric", "old", "new", "note")
    for change in changes:
        table.add_row(change.cell, change.metric, _number(change.old), _number(change.new), change.note,
                      style=None if change.old == change.new else "bold")  # fmt: skip
    Console().print(table)
    click.echo(f"written: {acceptance.write_golden(golden)}")


@main.group()
def organism() -> None:
    """Model organisms: tiny aligned models that ship with the package."""


@organism.command("build")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the organism.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Seed of the build; default: the shipped one's.")
@with_exit_codes
def organism_build(name: str, out: Path, seed: int | None) -> None:
    """Make an organism again from its recipe: about ten minutes on two cores."""
    from harness.runs.organism_build import build

    with _progress_bar() as progress:
        build(name, out, seed, progress.share)
    click.echo(f"{out}: {name}; run a benchmark on it with: harness run figure-2a --model {_shown(str(out))}")


def _spec(name: str) -> BenchmarkSpec:
    path = locations.find_benchmark(name)
    if path.suffix != ".json":
        return load_yaml_model(path, BenchmarkSpec)
    from harness.runs.journal import read_record

    return recorded_spec(read_record(path).spec, path)


def _bind(spec: BenchmarkSpec, model: str) -> BoundBenchmark:
    from harness.runs.binding import bind

    path = locations.find_variant(model)
    return bind(spec, load_yaml_model(path, ModelVariant), path)


def _execute(chosen: Sequence[tuple[str, str]], out: Path) -> list[RunRecord]:
    """Run benchmarks on models, both as they were given; a record's command names them in the same way."""
    from harness.executors.base import run_all

    bound = [_bind(_spec(benchmark), model) for benchmark, model in chosen]
    commands = {id(one): f"harness run {_shown(benchmark)} --model {_shown(model)}"
                for one, (benchmark, model) in zip(bound, chosen, strict=True)}  # fmt: skip
    with _progress_bar() as progress:
        return [record for record, _ in run_all(bound, out, lambda one: commands[id(one)], progress)]


def _progress_bar() -> Any:
    from harness.reports.progress import ProgressBar

    return ProgressBar()


def _write_report(runs_dir: Path, out: Path) -> None:
    from harness.reports.html import write_report

    click.echo(f"report: {write_report(runs_dir, out)}")


def _finish(records: list[RunRecord], out: Path, quiet: bool) -> None:
    """Print the table of verdicts and leave with the gravest exit code."""
    if not quiet:
        table = Table("benchmark", "variant", "verdict", "checks passed", "cells", "claims supported")
        for record in records:
            status = record.verdict.status
            passed = sum(check.status == "passed" for check in record.checks)
            supported = sum(claim.status == "supported" for claim in record.claims)
            table.add_row(record.spec["id"], record.variant["name"],
                          f"[{STYLES[status]}]{status.replace('_', ' ').upper()}[/]", f"{passed}/{len(record.checks)}",
                          str(len(record.cells)), f"{supported}/{len(record.claims)}")  # fmt: skip
        Console().print(table)
        for record in records:
            for reason in record.verdict.reasons[:20]:
                click.echo(f"  {record.spec['id']}: {reason}")
            if len(record.verdict.reasons) > 20:
                click.echo(f"  {record.spec['id']}: … and {len(record.verdict.reasons) - 20} more")
            click.echo(f"record: {out / record.id / 'record.json'}")
    gravity = [0, 4, 1, 3]
    sys.exit(max((record.verdict.exit_code for record in records), key=gravity.index, default=0))


def _shown(given: str) -> str:
    """A benchmark or model as a command shows it: a path without the folders of this machine around it."""
    return shlex.quote(Path(os.path.abspath(given)).name if os.sep in given or given in (".", "..") else given)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
