"""Run benchmarks, and read what they left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.executors.base import run_all
from harness.explanation.recorded import RecordedRun, open_run
from harness.explanation.story import Explanation, chosen_cells
from harness.explanation.story import explain as explained
from harness.runs.binding import BoundBenchmark, bind
from harness.runs.execution import Progress
from harness.runs.journal import read_record
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.instead import Instead, shown
from harness.spec.loading import Model, load_yaml_model, recorded_spec
from harness.spec.result import RunRecord
from harness.spec.variant import ModelVariant
from harness.verification.findings import Verification
from harness.verification.plain_files import check_read
from harness.verification.reader import verify as verified


class Silent:
    """Progress that nobody is told. See harness.runs.execution.Progress."""

    def begin(self, cells: int) -> None:
        """See harness.runs.execution.Progress."""

    def step(self, words: str) -> None:
        """See harness.runs.execution.Progress."""

    def finished_cell(self, benchmark: str, cell: str, how: str) -> None:
        """See harness.runs.execution.Progress."""


def run(
    benchmark: str | Path,
    model: str | Path,
    out: str | Path = "runs",
    *,
    weights: Path | None = None,
    engine: str | None = None,
    progress: Progress | None = None,
) -> RunRecord:
    """Run one benchmark on one model, and write its record to `out`/<record.id>/record.json.

    benchmark: a name, a YAML file, or a record.json whose spec is run again. model: a variant's name, its YAML file,
    or a folder with variant.yaml. weights, engine: instead of the variant's own. progress: told what is being done;
    nobody by default. An interrupted run goes on after the last finished cell when it is called again.

    Returns the record, its `verdict` among it: passed, failed, invalid, missing_golden or drift. Raises UserError for
    bad input, before any weight is loaded, and MachineError where memory, disk or a process gives out. A small model
    is measured in several processes, also from a script or a notebook.

    Example:
        >>> record = run("first-look.yaml", "tiny-llama2-chat", out="runs")
        >>> record.verdict.status
        'passed'
        >>> record.cell("planted").measurement("asr_vanilla").value
        1.0
    """
    ((record, _),) = run_together(
        [(str(benchmark), str(model))], Path(out), Instead(weights, engine), progress or Silent()
    )
    return record


def run_together(
    chosen: Sequence[tuple[str, str]], out: Path, instead: Instead, progress: Progress
) -> list[tuple[RunRecord, Path]]:
    """Run benchmarks on models, each pair as `run` takes them; a cell that several hold is measured once.

    Returns each record with its path, in the order of `chosen`. Errors as of `run`.
    """
    bound = [_bound(benchmark, model, instead) for benchmark, model in chosen]
    own = "".join(f" --catalogue {shown(str(folder))}" for folder in locations.given_catalogues())
    commands = {
        id(one): f"harness run {shown(benchmark)} --model {shown(model)}{instead.options}{own}"
        for one, (benchmark, model) in zip(bound, chosen, strict=True)
    }
    return run_all(
        bound, out, lambda one: commands[id(one)], progress, instead.executor or "local", instead.executor_options
    )


def explain(record: str | Path, cell: str | None = None, reference: str | Path | None = None) -> list[Explanation]:
    """Where cells of a record depart from the intact model, or from another record, and what to do.

    record, reference: a record.json or the folder that holds it. cell: a cell or a group of cells; without it, every
    cell that is unexpected or invalid. No model is loaded. Raises UserError for a record that cannot be read, and for
    a cell that is not there.

    Example:
        >>> for story in explain(f"runs/{record.id}"):  # the record of `run`
        ...     print(story.cell, "departs at", story.departs)
        snip-top departs at text
    """
    run_at, other = open_run(Path(record)), None if reference is None else open_run(Path(reference))
    return explanations(run_at, cell, other)


def verify(record: str | Path) -> Verification:
    """Read a record a second time: what it says, computed anew from its spec and the files beside it.

    record: a record.json or the folder that holds it. No model is loaded. Returns what agrees, by kind, what differs,
    and what nobody computes a second time. Raises UserError for a record that cannot be read.

    Example:
        >>> verify(f"runs/{record.id}").holds  # the record of `run`
        True
    """
    return verified(Path(record))


def explanations(run_at: RecordedRun, cell: str | None, reference: RecordedRun | None) -> list[Explanation]:
    """As `explain`, of records that are open."""
    return [explained(run_at, chosen, reference) for chosen in chosen_cells(run_at, cell)]


def _bound(benchmark: str, model: str, instead: Instead) -> BoundBenchmark:
    path = locations.find_variant(model)
    return bind(_spec(benchmark), instead.of(_read(path, ModelVariant)), path)


def _spec(name: str) -> BenchmarkSpec:
    path = locations.find_benchmark(name)
    if path.suffix != ".json":
        return _read(path, BenchmarkSpec)
    return recorded_spec(read_record(path).spec, path)


def _read(path: Path, model: type[Model]) -> Model:
    """A file that figures follow from, read twice."""
    loaded = load_yaml_model(path, model)
    check_read(path, loaded)
    return loaded
