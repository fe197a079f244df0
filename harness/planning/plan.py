"""A plan: everything that a benchmark on a variant will take, from specs, config and data files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import plugins
from harness.errors import UserError
from harness.planning import estimates, inventory
from harness.planning.cards import Cards, by_cards
from harness.planning.document import Cached, CellCount, Device, Plan, unfit
from harness.planning.rates import rates
from harness.planning.tokens import TokenCounter
from harness.runs.adapting import adapted_to
from harness.runs.binding import BoundBenchmark, bind
from harness.runs.data_checks import needed_datasets
from harness.runs.keys import Surroundings, cell_key
from harness.runs.unfinished import kept_cells
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.coverage import why_skipped
from harness.spec.variant import ModelVariant


def make_plan(
    spec: BenchmarkSpec,
    variant: ModelVariant,
    variant_file: Path,
    out: Path,
    gpu: str | None,
    engine: str | None,
    gpus: int = 1,
) -> Plan:
    """What `harness run` would take. gpus: most cards that hours are told for.

    Raises UserError for unknown names, or where no cell can be measured at all.
    """
    _refuse_unknown(gpu, engine)
    variant = variant.model_copy(update={"engine": engine}) if engine else variant
    declared = spec
    spec, adaptation = adapted_to(declared, variant, variant_file)
    cells = [cell for cell in spec.expanded_cells() if why_skipped(cell, variant) is None]
    if not cells:
        raise UserError(f"the variant {variant.name} skips every cell of {spec.id}: there is nothing to plan")
    here = _Here.of(declared, variant, variant_file, cells)
    to_measure, shared, finished = _to_measure(spec, variant, variant_file, cells, out)
    counter = TokenCounter(variant, variant_file, here.present)
    subject = estimates.subject_of(spec, variant, to_measure, counter, here.sizes.shape)
    asked = estimates.work_of(subject)
    chosen, devices = estimates.devices_for(subject, asked, gpu)
    return Plan(
        benchmark=spec.id,
        variant=variant.name,
        engine=variant.engine,
        device=chosen,
        parameters=here.sizes.shape.parameters,
        cells=CellCount(len(cells), shared, tuple(finished), len(spec.expanded_cells()) - len(cells)),
        cached=here.cached,
        work=asked,
        assumed=tuple(sorted(counter.assumed)),
        assumed_work=tuple(each.name for each in estimates.methods_of(subject) if each.work().assumed),
        assumed_rates=() if variant.engine in rates().gpu.engines else (variant.engine,),
        devices=devices,
        by_cards=_by_cards(devices[chosen], len(to_measure), subject.stored, gpus),
        host_bytes=estimates.host_bytes(subject),
        disk_bytes=estimates.disk_bytes(subject, asked, here.cached.weights),
        disk_free_bytes=inventory.free_bytes(out),
        adaptation=adaptation.model_dump(mode="json"),
        unfit=tuple(unfit(chosen, devices, variant.engine)),
    )


def _by_cards(device: Device, cells: int, stored: Mapping[str, int], most: int) -> tuple[Cards, ...]:
    """Of the device that the plan is for; nothing for a single card, and for a CPU."""
    if most == 1 or device.usable_bytes is None:
        return ()
    return tuple(by_cards(device.seconds, cells, sum(stored.values()), most))


@dataclass(frozen=True)
class _Here:
    """What of a variant is on this machine. present: files by dataset."""

    sizes: inventory.Sizes
    present: dict[str, Path]
    cached: Cached

    @classmethod
    def of(cls, declared: BenchmarkSpec, variant: ModelVariant, variant_file: Path, cells: Sequence[Cell]) -> _Here:
        """declared: as its file has it. Raises UserError for a model whose size nobody knows."""
        spec, _ = adapted_to(declared, variant, variant_file)
        present, missing = inventory.data_state(spec, variant, variant_file, list(cells))
        sizes = inventory.model_sizes(variant, variant_file)
        weights = not inventory.missing_weights(variant, variant_file)
        how = None if weights else inventory.how_to_get_weights(variant, variant_file)
        problems = _problems(declared, variant, variant_file, missing)
        return cls(sizes, present, Cached(sizes.source, weights, how, tuple(present), missing, problems))


def _refuse_unknown(gpu: str | None, engine: str | None) -> None:
    if gpu is not None and gpu not in rates().cards:
        raise UserError(f"no rates are held for the GPU {gpu!r}; {plugins.suggestion(gpu, rates().cards)}")
    known = plugins.names("engines")
    if engine is not None and engine not in known:
        raise UserError(f"no engine is called {engine!r}; {plugins.suggestion(engine, known)}")


def _to_measure(
    spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path, cells: Sequence[Cell], out: Path
) -> tuple[list[Cell], int, list[str]]:
    """(cells that are to be measured, number of those that are the same as another one, ids of finished ones)."""
    finished = kept_cells(out, variant.name, spec.id, [cell.id for cell in cells])
    names = dict.fromkeys(needed_datasets(spec, variant, cells), "")
    bound = BoundBenchmark(spec, variant, variant_file, tuple(cells), {}, names, None, None)
    nowhere = Surroundings("", "", "")
    by_key: dict[str, Cell] = {}
    for cell in cells:
        by_key.setdefault(cell_key(bound, cell, nowhere), cell)
    distinct = list(by_key.values())
    return [cell for cell in distinct if cell.id not in finished], len(cells) - len(distinct), finished


def _problems(
    spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path, missing: dict[str, str]
) -> tuple[str, ...]:
    """What binding would refuse besides missing data."""
    try:
        bind(spec, variant, variant_file)
    except UserError as error:
        known = {line for words in missing.values() for line in words.splitlines()}
        return tuple(line for line in str(error).splitlines() if line not in known)
    return ()
