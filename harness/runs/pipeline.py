"""The one path, from bound benchmarks to records.

    read the zero-shot tasks -> identify the models -> take up or begin the runs -> calibrate validity -> canaries
    -> measure every cell once
    -> judge -> record -> read the record a second time

What happens within a cell stands in cells.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from harness import plugins
from harness.errors import InvalidRun, UserError
from harness.reading import read_bytes
from harness.runs import provenance
from harness.runs.binding import BoundBenchmark, read_data_of_evaluations
from harness.runs.canaries import random_share
from harness.runs.canaries_found import Canaries
from harness.runs.execution import Executor, Progress
from harness.runs.fitness import unfit
from harness.runs.journal import Journal, open_session
from harness.runs.judgement import claim_checks, golden_checks, verdict
from harness.runs.judges_compared import claims_by_judges
from harness.runs.keys import Surroundings, calibration_key, canaries_key, cell_basis, run_key
from harness.runs.run_names import RunName
from harness.runs.second_reading import written
from harness.runs.sharing import CELLS, Run, SharedCell, shared_cells
from harness.runs.used_plugins import whole_origins
from harness.spec.provenance import Provenance
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult, RunRecord
from harness.validity.classification import Thresholds
from harness.verification.in_force import digest_in_force


def run_benchmarks(
    benchmarks: Sequence[BoundBenchmark],
    out: Path,
    command: Callable[[BoundBenchmark], str],
    progress: Progress,
    executor: Executor,
    executor_name: str = "local",
) -> list[tuple[RunRecord, Path]]:
    """Run every cell, judge the figures and write the records. Returns them with their paths.

    executor_name: by which the executor was asked for, for the record. Raises UserError, before anything is loaded,
    where two benchmarks of one variant have the same id.
    """
    _refuse_repeated(benchmarks)
    began = _began(benchmarks)
    progress.begin(sum(len(bound.cells) for bound in benchmarks))
    progress.step("reading the data of evaluations")
    for bound in benchmarks:
        read_data_of_evaluations(bound)
    progress.step("loading the model")
    surroundings = [_surroundings(bound, executor) for bound in benchmarks]
    names = [_name(bound, around) for bound, around in zip(benchmarks, surroundings, strict=True)]
    with open_session(out, names) as journals:
        progress.step("calibrating what counts as an answer")
        thresholds = _calibrate(benchmarks, surroundings, executor)
        runs = [_begun(*parts) for parts in zip(benchmarks, surroundings, journals, thresholds, strict=True)]
        done: dict[int, tuple[RunRecord, Path]] = {}
        progress.step("canaries")
        canaries = _canaries(runs, executor)
        for run in _measured(runs, progress, executor):
            facts = _facts(run, command(run.bound), began, executor, executor_name)
            record = judge(run.bound, run.journal.id, run.results(), run.thresholds, facts, canaries[run.journal.id])
            record = record.model_copy(update={"manifest_sha256": run.journal.manifest_sha256()})
            done[runs.index(run)] = written(run.journal, record)
    return [done[index] for index in range(len(runs))]


@dataclass(frozen=True)
class _Began:
    """What was there as a command began. golden_sha256: by variant and benchmark."""

    started: str
    source_sha256: str
    golden_sha256: Mapping[tuple[str, str], str]


def _began(benchmarks: Sequence[BoundBenchmark]) -> _Began:
    places = [(bound.variant.name, bound.spec.id) for bound in benchmarks]
    golden = {place: digest_in_force(*place) for place in places}
    return _Began(provenance.now(), provenance.source_sha256(), golden)


def _refuse_repeated(benchmarks: Sequence[BoundBenchmark]) -> None:
    """Runs are filed under variant and id: of two with the same, nobody could say which record is whose."""
    pairs = Counter((bound.variant.name, bound.spec.id) for bound in benchmarks)
    repeated = [
        f"{benchmark} on {variant} is asked for {count} times; expected once: give one of the specs another id"
        for (variant, benchmark), count in sorted(pairs.items())
        if count > 1
    ]
    if repeated:
        raise UserError("\n".join(repeated))


def _surroundings(bound: BoundBenchmark, executor: Executor) -> Surroundings:
    machine = json.dumps(executor.hardware(), sort_keys=True)
    identity = executor.identify(bound)
    return Surroundings(identity.model_sha256, identity.tokenizer_sha256, machine)


def _name(bound: BoundBenchmark, surroundings: Surroundings) -> RunName:
    return RunName(
        variant=bound.variant.name,
        benchmark=bound.spec.id,
        key=run_key(bound, surroundings),
        machine=json.loads(surroundings.machine),
        canaries=canaries_key(bound, surroundings, random_share(bound)),
        cells={cell.id: cell_basis(bound, cell, surroundings) for cell in bound.cells},
    )


def _calibrate(
    benchmarks: Sequence[BoundBenchmark], surroundings: Sequence[Surroundings], executor: Executor
) -> list[Thresholds | None]:
    """The thresholds of each benchmark; those that ask the same of the same model share them."""
    known: dict[str, Thresholds | None] = {}
    keys = [calibration_key(bound, around) for bound, around in zip(benchmarks, surroundings, strict=True)]
    for key, bound in zip(keys, benchmarks, strict=True):
        if key not in known:
            known[key] = executor.calibrate(bound)
    return [known[key] for key in keys]


def _begun(bound: BoundBenchmark, surroundings: Surroundings, journal: Journal, thresholds: Thresholds | None) -> Run:
    """A run whose folder has what its figures are judged by. The texts behind the limits go to no other process."""
    asked = {name for entry in bound.spec.evaluations if entry.generates_texts for name in entry.datasets}
    requests = {name: read_bytes(bound.path_of(name)) for name in sorted(asked)}
    journal.write_declared(bound.spec if bound.declared is None else bound.declared)
    journal.write_basis(() if thresholds is None else thresholds.texts, bound.golden, requests)
    limits = None if thresholds is None else replace(thresholds, texts=())
    return Run(bound, surroundings, journal, limits)


def _canaries(runs: Sequence[Run], executor: Executor) -> dict[str, tuple[StageReceipt, ...]]:
    """The canaries of each run by its id, from disk where they are there; runs that ask the same share them."""
    known: dict[str, Canaries] = {}
    of_run: dict[str, Canaries] = {}
    for run in runs:
        key = canaries_key(run.bound, run.surroundings, random_share(run.bound))
        canaries = run.journal.canaries()
        if canaries is None:
            canaries = known[key] if key in known else executor.canaries(run.bound, run.thresholds)
            run.journal.write_canaries(canaries)
        known[key] = of_run[run.journal.id] = canaries
    return {run_id: found.receipts for run_id, found in of_run.items()}


def _measured(runs: Sequence[Run], progress: Progress, executor: Executor) -> Iterator[Run]:
    """Measure what is not finished yet, and give every run back when all its cells are on disk.

    Raises InvalidRun where the executor gives a cell back that it was not asked for, or twice, or not at all.
    """
    cells = shared_cells(runs)
    missing = {run.journal.id: len(run.bound.cells) for run in runs}
    to_measure = {cell.task.name: cell for cell in cells if cell.owner() is None}
    found = (cell for cell in cells if cell.task.name not in to_measure)
    measured = _given_back(to_measure, executor, progress)
    for cell in chain(found, measured):
        for run in cell.settle(progress):
            missing[run.journal.id] -= 1
            if not missing[run.journal.id]:
                yield run


def _given_back(asked: Mapping[str, SharedCell], executor: Executor, progress: Progress) -> Iterator[SharedCell]:
    """Each cell once, as an executor gives it back. asked: by the names of their tasks."""
    left = dict(asked)
    for task in executor.measure([cell.task for cell in asked.values()], progress.step):
        cell = left.pop(task.name, None)
        if cell is None:
            why = "given back twice" if task.name in asked else "one that was not to be measured"
            raise InvalidRun(CELLS, f"{CELLS}: {task.name}: {why}; look at the executor's `measure`")
        yield cell
    if left:
        names = ", ".join(list(left)[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        raise InvalidRun(CELLS, f"{CELLS}: never measured: {names}; look at the executor's `measure`")


def _facts(run: Run, command: str, began: _Began, executor: Executor, executor_name: str) -> Provenance:
    commit, dirty = provenance.git_state()
    return Provenance(
        started=began.started,
        finished=provenance.now(),
        command=command,
        git_commit=commit,
        git_dirty=dirty,
        model_sha256=run.surroundings.model_sha256,
        tokenizer_sha256=run.surroundings.tokenizer_sha256,
        data_sha256=run.bound.data_sha256,
        source_sha256=began.source_sha256,
        golden_sha256=began.golden_sha256[run.bound.variant.name, run.bound.spec.id],
        task_hashes={task: text for result in run.results() for task, text in result.task_hashes.items()},
        engine=f"{run.bound.variant.engine}: {plugins.load('engines', run.bound.variant.engine).version()}",
        plugins=whole_origins(run.bound.spec, run.bound.variant, executor_name),
        resumed=len(run.found),
        measured_anew=run.departed,
        processes=executor.processes,
        **executor.machine(),
    )


def judge(
    bound: BoundBenchmark,
    run_id: str,
    results: Sequence[CellResult],
    thresholds: Thresholds | None,
    facts: Provenance,
    canaries: Sequence[StageReceipt] = (),
) -> RunRecord:
    """Checks against golden values and claims, and the verdict, from finished cells; no claim of an unfit model."""
    why_unfit = unfit(bound.spec, results)
    claims = claims_by_judges(bound.spec, results, why_unfit)
    checks = golden_checks(bound.spec, results, bound.skipped, bound.golden)
    if why_unfit is None:
        checks += claim_checks(bound.spec, claims, bound.skipped, bound.golden, results)
    return RunRecord(
        id=run_id,
        spec=bound.spec.model_dump(mode="json", exclude_none=True),
        variant=bound.variant.as_record(),
        provenance=facts,
        validity_thresholds=thresholds.as_record() if thresholds else {},
        cells=tuple(results),
        skipped_cells=bound.skipped,
        adaptation=bound.adaptation,
        canaries=tuple(canaries),
        checks=tuple(checks),
        claims=tuple(claims),
        verdict=verdict(results, checks, canaries, why_unfit),
    )
