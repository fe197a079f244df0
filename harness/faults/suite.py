"""Run a small benchmark without a fault and under each of them: who notices, and in which words."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from harness.errors import MachineError, UserError
from harness.executors.local import InProcess
from harness.faults.base import CHECK, CRASH, LOAD, VALIDITY, VERIFICATION, Alarm, Fault, Outcome, Trial
from harness.faults.catalogue import FAULTS, find_fault
from harness.runs import provenance
from harness.runs.binding import bind
from harness.runs.failures import machine_failure
from harness.runs.judgement import without_number
from harness.runs.pipeline import run_benchmarks
from harness.runs.processes import MOST_PROCESSES, WorkerEnded, pool, usable_cores
from harness.runs.workbench import Workbench
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.faults import CleanRun, Detection, FaultReport, FaultResult
from harness.spec.loading import load_yaml_model
from harness.spec.resolution import INTACT
from harness.spec.result import RunRecord
from harness.spec.variant import ModelVariant
from harness.verification.verdicts import SECOND_READING

SPEC = Path(__file__).with_name("suite.yaml")
#: Told what is being done.
Step = Callable[[str], None]


class _Quiet:
    """Progress of a single run, which nobody watches. See harness.runs.execution.Progress."""

    def begin(self, cells: int) -> None:
        """See harness.runs.execution.Progress."""

    def step(self, words: str) -> None:
        """See harness.runs.execution.Progress."""

    def finished_cell(self, benchmark: str, cell: str, how: str) -> None:
        """See harness.runs.execution.Progress."""


@dataclass(frozen=True)
class Job:
    """One run of the small benchmark: under the fault `name`, or, without a name, as it is. folder: a new one."""

    name: str | None
    variant: Path
    seed: int
    folder: Path


@dataclass(frozen=True)
class Done:
    """What came of a job, and the seconds that it took."""

    job: Job
    outcome: Outcome
    seconds: float


def run_suite(
    variant: Path,
    chosen: Sequence[str],
    clean: Sequence[tuple[Path, int]],
    folder: Path,
    step: Step,
    processes: int | None = None,
) -> FaultReport:
    """Every chosen fault on one variant, and the benchmark without a fault there and on each (variant, seed).

    chosen: ids; none is all. Every run lies in a folder of its own below `folder`, with a store of its own: no
    score that was measured under a fault is found by another run. processes: how many run at once; by default one
    for each core. Raises UserError where a fault is not known.
    """
    began, started = time.monotonic(), provenance.now()
    wanted = {find_fault(name).id for name in chosen}
    names = [fault.id for fault in FAULTS if fault.id in wanted or not wanted]
    seeds = [(variant, 0), *(each for each in clean if each != (variant, 0))]
    jobs = [Job(None, path, seed, folder / f"clean-{number}") for number, (path, seed) in enumerate(seeds)]
    jobs += [Job(name, variant, 0, folder / name) for name in names]
    done = {each.job: each for each in _in_processes(jobs, processes or usable_cores(), step)}
    runs = [_clean(done[job]) for job in jobs if job.name is None]
    faults = [_result(done[job], done[jobs[0]].outcome) for job in jobs if job.name is not None]
    return FaultReport(
        variant=runs[0].variant,
        started=started,
        git_commit=provenance.git_state()[0],
        faults=tuple(faults),
        clean=tuple(runs),
        seconds=round(time.monotonic() - began, 1),
    )


def _in_processes(jobs: Sequence[Job], processes: int, step: Step) -> Iterator[Done]:
    """Every job done, in any order; one process needs no pool."""
    if min(processes, len(jobs)) == 1:
        for job in jobs:
            step(_words(job))
            yield _run(job)
        return
    number = min(processes, len(jobs), MOST_PROCESSES)
    done: list[Done] = []
    try:
        yield from _noted(jobs, number, step, done)
    except WorkerEnded as error:
        finished = {each.job for each in done}
        rest = [job for job in jobs if job not in finished]
        step(f"a process ended before its work was done{error.how}; {len(rest)} unfinished runs begin once more")
        for job in rest:
            shutil.rmtree(job.folder, ignore_errors=True)
        yield from _noted(rest, number, step, done)


def _noted(jobs: Sequence[Job], processes: int, step: Step, done: list[Done]) -> Iterator[Done]:
    """Jobs done by a pool, each noted in `done`. Raises WorkerEnded where a process dies."""
    total = len(done) + len(jobs)
    with pool(processes) as workers:
        for _, each in workers.results([workers.submit(_run, job) for job in jobs]):
            done.append(each)
            step(f"{len(done)} of {total} done: {_words(each.job)}")
            yield each


def _words(job: Job) -> str:
    return job.name or f"without a fault, {job.variant.stem}, seed {job.seed}"


def _run(job: Job) -> Done:
    """One job, in this process and on one thread, as `harness run` measures an organism."""
    began, threads = time.monotonic(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        job.folder.mkdir(parents=True)
        spec = _seeded(load_yaml_model(SPEC, BenchmarkSpec), job.seed)
        outcome = run_benchmark(spec, job.variant, job.folder) if job.name is None else _under_fault(job, spec)
    finally:
        torch.set_num_threads(threads)
    return Done(job, _without_places(outcome, job.folder), round(time.monotonic() - began, 1))


def _without_places(outcome: Outcome, folder: Path) -> Outcome:
    """The words as they are told elsewhere: without the folders of this machine."""

    def words(alarm: Alarm) -> str:
        return alarm.words.replace(f"{folder}/", "").replace(f"{locations.root()}/", "")

    return replace(outcome, alarms=tuple(replace(alarm, words=words(alarm)) for alarm in outcome.alarms))


def _under_fault(job: Job, spec: BenchmarkSpec) -> Outcome:
    fault = _fault_of(job)
    kept = _only(spec, fault.cells)
    trial = Trial(job.variant, job.folder, lambda: run_benchmark(kept, job.variant, job.folder / "runs"))
    with fault.injected():
        return trial.benchmark() if fault.run is None else fault.run(trial)


def _fault_of(job: Job) -> Fault:
    if job.name is None:
        raise ValueError(f"{job.folder} is of a run without a fault")
    return find_fault(job.name)


def _clean(done: Done) -> CleanRun:
    return CleanRun(
        variant=load_yaml_model(done.job.variant, ModelVariant).name,
        seed=done.job.seed,
        seconds=done.seconds,
        alarms=tuple(f"{alarm.by}: {alarm.words}" for alarm in done.outcome.alarms),
    )


def _result(done: Done, reference: Outcome) -> FaultResult:
    """What became of a fault. reference: the run without one."""
    fault, outcome = _fault_of(done.job), done.outcome
    detection, alarm = judged(outcome.alarms, fault.caught_by)
    published: dict[str, tuple[float | None, float | None]] = {
        cell: (before, outcome.asr_vanilla[cell])
        for cell, before in reference.asr_vanilla.items()
        if cell in outcome.asr_vanilla and outcome.asr_vanilla[cell] != before
    }
    both = reference.figures.keys() & outcome.figures.keys()
    return FaultResult(
        name=fault.id,
        number=fault.number,
        title=fault.title,
        detection=detection,
        verdict=outcome.verdict,
        published=published,
        by=alarm.by if alarm else None,
        said=alarm.words if alarm else None,
        caught_by=fault.caught_by,
        seconds=done.seconds,
        others=tuple(dict.fromkeys(each.by for each in outcome.alarms if alarm and each.by != alarm.by)),
        stage=fault.stage,
        figures=len(both) or None,
        changed=sum(outcome.figures[name] != reference.figures[name] for name in both) if both else None,
        named=alarm is not None and fault.says in alarm.words,
    )


def judged(alarms: Sequence[Alarm], caught_by: Sequence[str]) -> tuple[Detection, Alarm | None]:
    """What became of a fault, and the alarm that tells of it: the first that is there for it, or else the first."""
    right = next((alarm for alarm in alarms if alarm.by in caught_by), None)
    if right is not None:
        return "caught", right
    return ("by_accident", alarms[0]) if alarms else ("missed", None)


def _only(spec: BenchmarkSpec, groups: Sequence[str] | None) -> BenchmarkSpec:
    """The spec with these groups of cells, the intact one, and what is measured in them.

    Raises ValueError where it lacks one of them.
    """
    if groups is None:
        return spec
    missing = set(groups) - {group.id for group in spec.cells}
    if missing:
        raise ValueError(f"suite.yaml has no cells {sorted(missing)}")
    cells = tuple(group for group in spec.cells if group.id in {INTACT, *groups})
    there = {group.id for group in cells}
    tuned = any(group.fine_tuning is not None for group in cells)
    changed = there != {INTACT}
    entries = tuple(
        entry
        for entry in spec.evaluations
        if (tuned or entry.measured_in != "fine_tuned") and (changed or not entry.compares_with_intact)
    )
    claims = tuple(claim for claim in spec.claims if there.issuperset(claim.cells))
    return spec.model_copy(update={"cells": cells, "evaluations": entries, "claims": claims})


def _seeded(spec: BenchmarkSpec, seed: int) -> BenchmarkSpec:
    """The spec with every draw at another seed: calibration pairs, samples, fine-tuning."""
    cells = [
        group
        if group.fine_tuning is None
        else group.model_copy(update={"fine_tuning": {**group.fine_tuning, "seed": seed}})
        for group in spec.cells
    ]
    return spec.model_copy(
        update={
            "calibration": {name: each.model_copy(update={"seed": seed}) for name, each in spec.calibration.items()},
            "cells": tuple(cells),
            "evaluations": tuple(
                each.model_copy(update={"seed": seed}) if hasattr(each, "seed") else each for each in spec.evaluations
            ),
            "validity": spec.validity.model_copy(update={"seed": seed}),
        }
    )


def run_benchmark(spec: BenchmarkSpec, variant: Path, folder: Path) -> Outcome:
    """Bind, run and judge in this process, everything new: model, store, journal."""
    try:
        # The spec's own fine-tuning is small; the variant's overrides are for that of the benchmarks.
        model = load_yaml_model(variant, ModelVariant).model_copy(update={"fine_tuning": {}})
        bound = bind(spec, model, variant)
        executor = InProcess(Workbench(folder / "store"))
        ((record, _),) = run_benchmarks([bound], folder, lambda _: "harness faults", _Quiet(), executor)
    except UserError as error:
        return Outcome("refused", (Alarm(getattr(error, "by", LOAD), str(error)),))
    except MachineError:
        raise
    except Exception as error:
        if (known := machine_failure(error)) is not None:
            raise known from error
        return Outcome("crashed", (Alarm(CRASH, f"{type(error).__name__}: {error}"),))
    found = {cell.id: cell.measurement("asr_vanilla") for cell in record.cells}
    printed = {cell: measured.value for cell, measured in found.items() if measured and measured.value is not None}
    figures = {(cell.id, figure.metric): figure.value for cell in record.cells for figure in cell.measurements}
    return Outcome(record.verdict.status, tuple(alarms_of(record)), printed, figures)


def alarms_of(record: RunRecord) -> Iterator[Alarm]:
    """Everything that a record says is wrong: canaries, receipts, figures that mean nothing, checks."""
    for canary in record.canaries:
        if not canary.holds:
            yield Alarm(f"{canary.stage}/{canary.name}", canary.words)
    for cell in record.cells:
        broken = [receipt for receipt in cell.receipts if not receipt.holds]
        yield from (Alarm(f"{each.stage}/{each.name}", f"{cell.id}: {each.words}") for each in broken)
        for measured in cell.measurements:
            if not measured.valid and cell.invalid_is_expected is None and not broken:
                yield Alarm(VALIDITY, f"{cell.id}: {measured.metric} is invalid: {measured.reason}")
        yield from (Alarm(VALIDITY, f"{cell.id}: {metric} is no number") for metric in without_number(cell))
    for check in record.checks:
        if check.status in ("failed", "missing_measurement"):
            yield Alarm(CHECK, f"{check.cell}: {check.message}")
    read = (reason for reason in record.verdict.reasons if reason.startswith(SECOND_READING))
    yield from (Alarm(VERIFICATION, reason.removeprefix(SECOND_READING)) for reason in read)
