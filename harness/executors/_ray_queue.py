"""Cells that wait for an actor: which is next for one, and how often each was begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.errors import MachineError
from harness.runs.execution import CellTask


class Waiting:
    """Cells that wait, the first that was given first."""

    def __init__(self, tasks: Sequence[CellTask], attempts: int) -> None:
        """attempts: so often a cell may be begun."""
        self._tasks = list(tasks)
        self._attempts = attempts
        self._begun: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._tasks)

    def next_for(self, last: CellTask | None) -> CellTask:
        """Take the next cell for an actor whose last one is given: of its variant and region first, then its variant.

        An actor that has measured nothing begins what no other works at: the last group that waits is the likeliest.
        """
        place = 0 if last is None else max(range(len(self._tasks)), key=lambda i: (self._near(i, last), -i))
        task = self._tasks.pop(place)
        self._begun[task.name] += 1
        return task

    def again(self, task: CellTask, why: str) -> None:
        """The cell waits once more, behind the others. Raises MachineError where it was begun too often."""
        if self._begun[task.name] >= self._attempts:
            raise MachineError(
                f"cell {task.cell} was begun {self._attempts} times on the cluster, and ended each time: {why}; "
                "finished cells are on disk: start the same command again, and it goes on from there"
            )
        self._tasks.append(task)

    def _near(self, place: int, last: CellTask) -> int:
        task = self._tasks[place]
        if task.bound.variant_file != last.bound.variant_file:
            return 0
        return 1 + (_scores_of(task) == _scores_of(last))


def _scores_of(task: CellTask) -> tuple[object, ...]:
    """What the scores of a cell's region depend on, near enough to order by."""
    cell = next(cell for cell in task.bound.cells if cell.id == task.cell)
    return tuple((getattr(region, "method", None), region.calibration_sets) for region in cell.regions)
