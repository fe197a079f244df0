"""Run a small benchmark without a fault and under each of them: who notices, and in which words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch

from harness import plugins
from harness.errors import MachineError, UserError
from harness.executors.local import InProcess
from harness.faults.base import CHECK, CRASH, LOAD, VALIDITY, Alarm, Outcome, Trial
from harness.runs import provenance
from harness.runs.binding import bind
from harness.runs.failures import machine_failure
from harness.runs.pipeline import run_benchmarks
from harness.runs.workbench import Workbench
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.faults import CleanRun, Fate, FaultReport, FaultResult
from harness.spec.loading import load_yaml_model
from harness.spec.resolution import INTACT
from harness.spec.result import RunRecord
from harness.spec.variant import ModelVariant

SPEC = Path(__file__).with_name("suite.yaml")
#: Modules of this package that are no faults.
MACHINERY = {"seam", "suite", "document"}
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


def fault_names() -> list[str]:
    """Names of all faults, by their numbers."""
    names = [name for name in plugins.names("faults") if name not in MACHINERY]
    return sorted(names, key=lambda name: (plugins.load("faults", name).NUMBER, name))


def run_suite(
    variant: Path, chosen: Sequence[str], seeds: Sequence[tuple[Path, int]], folder: Path, step: Step
) -> FaultReport:
    """Every chosen fault on one variant, and the benchmark without a fault on each of (variant, seed).

    folder: new runs are written below it, each with a store of its own, so that no score that was measured under
    a fault is found by another run. Raises UserError where a fault is not known.
    """
    began, started = time.monotonic(), provenance.now()
    unknown = [name for name in chosen if name.replace("-", "_") not in fault_names()]
    if unknown:
        raise UserError(f"no fault is called {unknown[0]!r}; {plugins.suggestion(unknown[0], fault_names())}")
    modules = {name: plugins.load("faults", name) for name in fault_names()
               if not chosen or name in {each.replace("-", "_") for each in chosen}}  # fmt: skip
    spec = load_yaml_model(SPEC, BenchmarkSpec)
    with _one_thread():
        step("without a fault")
        clean, reference = _clean_run(spec, variant, 0, folder / "clean")
        others = []
        for number, (path, seed) in enumerate(seeds):
            step(f"without a fault: {path.stem}, seed {seed}")
            others.append(_clean_run(spec, path, seed, folder / f"clean-{number}")[0])
        results = []
        for name, module in modules.items():
            step(name)
            results.append(_result(name, module, spec, variant, folder / name, reference))
    return FaultReport(
        variant=clean.variant, started=started, git_commit=provenance.git_state()[0], faults=tuple(results),
        clean=(clean, *others), seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip


def _clean_run(spec: BenchmarkSpec, variant: Path, seed: int, folder: Path) -> tuple[CleanRun, Outcome]:
    began = time.monotonic()
    outcome = run_benchmark(_seeded(spec, seed), variant, folder)
    run = CleanRun(variant=load_yaml_model(variant, ModelVariant).name, seed=seed,
                   alarms=tuple(f"{alarm.by}: {alarm.words}" for alarm in outcome.alarms),
                   seconds=round(time.monotonic() - began, 1))  # fmt: skip
    return run, outcome


def _result(
    name: str, module: ModuleType, spec: BenchmarkSpec, variant: Path, folder: Path, reference: Outcome
) -> FaultResult:
    began = time.monotonic()
    folder.mkdir(parents=True)
    kept = _only(spec, getattr(module, "CELLS", None))
    trial = Trial(variant, folder, lambda: run_benchmark(kept, variant, folder / "runs"))
    with module.injected():
        outcome = module.run(trial) if hasattr(module, "run") else trial.benchmark()
    fate, alarm = judged(outcome.alarms, module.CAUGHT_BY)
    published = {cell: (before, outcome.asr_vanilla[cell]) for cell, before in reference.asr_vanilla.items()
                 if cell in outcome.asr_vanilla and outcome.asr_vanilla[cell] != before}  # fmt: skip
    return FaultResult(
        name=name, number=module.NUMBER, title=module.TITLE, fate=fate, verdict=outcome.verdict, published=published,
        by=alarm.by if alarm else None, said=alarm.words if alarm else None, caught_by=tuple(module.CAUGHT_BY),
        others=tuple(dict.fromkeys(each.by for each in outcome.alarms if alarm and each.by != alarm.by)),
        seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip


def judged(alarms: Sequence[Alarm], caught_by: Sequence[str]) -> tuple[Fate, Alarm | None]:
    """What became of a fault, and the alarm that tells of it: the first that is there for it, or else the first."""
    right = next((alarm for alarm in alarms if alarm.by in caught_by), None)
    if right is not None:
        return "caught", right
    return ("by_accident", alarms[0]) if alarms else ("missed", None)


def _only(spec: BenchmarkSpec, groups: Sequence[str] | None) -> BenchmarkSpec:
    """The spec with these groups of cells and the intact one. Raises ValueError where it lacks one of them."""
    if groups is None:
        return spec
    missing = set(groups) - {group.id for group in spec.cells}
    if missing:
        raise ValueError(f"suite.yaml has no cells {sorted(missing)}")
    return spec.model_copy(update={"cells": tuple(g for g in spec.cells if g.id in {INTACT, *groups})})


def _seeded(spec: BenchmarkSpec, seed: int) -> BenchmarkSpec:
    """The spec with every draw at another seed: calibration pairs, samples, fine-tuning."""
    cells = [group if group.fine_tuning is None else
             group.model_copy(update={"fine_tuning": {**group.fine_tuning, "seed": seed}})
             for group in spec.cells]  # fmt: skip
    return spec.model_copy(update={
        "calibration": {name: each.model_copy(update={"seed": seed}) for name, each in spec.calibration.items()},
        "cells": tuple(cells),
        "evaluations": tuple(each.model_copy(update={"seed": seed}) if hasattr(each, "seed") else each
                             for each in spec.evaluations),
        "validity": spec.validity.model_copy(update={"seed": seed}),
    })  # fmt: skip


def run_benchmark(spec: BenchmarkSpec, variant: Path, folder: Path) -> Outcome:
    """Bind, run and judge in this process, everything new: model, store, journal."""
    try:
        bound = bind(spec, load_yaml_model(variant, ModelVariant), variant)
        executor = InProcess(Workbench(folder / "store"))
        ((record, _),) = run_benchmarks([bound], folder, lambda _: "harness faults", _Quiet(), executor)
    except UserError as error:
        return Outcome("refused", (Alarm(LOAD, str(error)),))
    except MachineError:
        raise
    except Exception as error:
        if (known := machine_failure(error)) is not None:
            raise known from error
        return Outcome("crashed", (Alarm(CRASH, f"{type(error).__name__}: {error}"),))
    found = {cell.id: cell.measurement("asr_vanilla") for cell in record.cells}
    printed = {cell: measured.value for cell, measured in found.items() if measured and measured.value is not None}
    return Outcome(record.verdict.status, tuple(alarms_of(record)), printed)


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
    for check in record.checks:
        if check.status in ("failed", "missing_measurement"):
            yield Alarm(CHECK, f"{check.cell}: {check.message}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in the processes of `harness run` on an organism, so that a run here has the figures of one there."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
