"""Benchmarks that are run together measure a cell once, however many of them want it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.errors import InvalidRun
from harness.runs.binding import BoundBenchmark
from harness.runs.execution import CellTask, Progress
from harness.runs.journal import Journal
from harness.runs.keys import Surroundings, cell_key
from harness.spec.benchmark import Cell
from harness.spec.result import CellResult
from harness.validity.classification import Thresholds

#: What an executor is held to: each cell is measured once, and on disk when it is given back.
CELLS = "run/cells"


@dataclass
class Run:
    """One benchmark on one variant, under way. found: cells that an interrupted run had finished.

    departed: cells that it had written and that are not what it wrote, each with the reason.
    """

    bound: BoundBenchmark
    surroundings: Surroundings
    journal: Journal
    thresholds: Thresholds | None
    found: frozenset[str] = field(init=False)
    departed: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.found = frozenset(result.id for result in self.results())
        reasons = {cell.id: self.journal.departure(cell.id) for cell in self.bound.cells}
        self.departed = {cell: reason for cell, reason in reasons.items() if reason is not None}

    def results(self) -> list[CellResult]:
        """The finished cells, in the order of the spec."""
        results = (self.journal.finished(cell.id) for cell in self.bound.cells)
        return [result for result in results if result is not None]


@dataclass(frozen=True)
class SharedCell:
    """Cells of one run or of several that the same things decide. The first one is measured."""

    places: tuple[tuple[Run, Cell], ...]

    @property
    def task(self) -> CellTask:
        """What an executor has to do for it."""
        run, cell = self.places[0]
        return CellTask(run.bound, cell.id, run.thresholds, run.journal)

    def owner(self) -> tuple[Run, Cell] | None:
        """Where the cell is on disk already."""
        return next(((run, cell) for run, cell in self.places if run.journal.finished(cell.id)), None)

    def settle(self, progress: Progress) -> Iterator[Run]:
        """Copy the finished cell to every other place. Gives the run of each place, once its cell is there.

        Raises InvalidRun if the cell was not measured anywhere.
        """
        owner = self.owner()
        if owner is None:
            why = "given back before it was on disk"
            raise InvalidRun(CELLS, f"{CELLS}: {self.task.name}: {why}; look at the executor's `measure`")
        run, cell = owner
        result = run.journal.finished(cell.id)
        for place, wanted in self.places:
            how = "done" if place is run and wanted is cell else f"shared with {run.bound.spec.id}"
            if wanted.id in place.found:
                how = "found finished"
            elif result is not None and place.journal.finished(wanted.id) is None:
                place.journal.adopt(_renamed(result, place.bound, wanted), run.journal, cell.id)
            if wanted.id in place.departed:
                how += f", measured anew: {place.departed[wanted.id]}"
            progress.finished_cell(place.bound.spec.id, wanted.id, how)
            yield place


def shared_cells(runs: Sequence[Run]) -> list[SharedCell]:
    """All cells of all runs, those together that the same things decide, in the order of their first places."""
    places: dict[str, list[tuple[Run, Cell]]] = {}
    for run in runs:
        for cell in run.bound.cells:
            places.setdefault(cell_key(run.bound, cell, run.surroundings), []).append((run, cell))
    return [SharedCell(tuple(group)) for group in places.values()]


def _renamed(result: CellResult, bound: BoundBenchmark, cell: Cell) -> CellResult:
    title = next(group.title for group in bound.spec.cells if group.id == cell.group)
    return result.model_copy(
        update={
            "id": cell.id,
            "group": cell.group,
            "title": title,
            "parameters": cell.parameters,
            "invalid_is_expected": cell.invalid_is_expected,
        }
    )
