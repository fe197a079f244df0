"""What an executor does for the pipeline: the work on models, in this process or in others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.runs.bench import Step
from harness.runs.binding import BoundBenchmark
from harness.runs.canaries_found import Canaries
from harness.runs.journal import Journal
from harness.runs.workbench import Identity
from harness.validity.classification import Thresholds


@dataclass(frozen=True)
class CellTask:
    """One cell to measure and to write to a journal."""

    bound: BoundBenchmark
    cell: str
    thresholds: Thresholds | None
    journal: Journal

    @property
    def name(self) -> str:
        """`<run id>#<cell id>`."""
        return f"{self.journal.id}#{self.cell}"


class Executor(Protocol):
    """processes, threads: how many work at once, and with how many threads each."""

    processes: int
    threads: int

    def hardware(self) -> dict[str, Any]:
        """What figures are computed on, as harness.runs.provenance.hardware says it."""

    def machine(self) -> dict[str, Any]:
        """The same with packages and image, for the record."""

    def identify(self, bound: BoundBenchmark) -> Identity:
        """Which weights and tokenizer the variant is."""

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """The thresholds of validity of the benchmark on its intact model."""

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> Canaries:
        """What the harness says of states of the model whose outcome is known beforehand, and their texts."""

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """Measure every task and give each back when its cell is on disk, in any order."""


class Progress(Protocol):
    """What a run tells while it works."""

    def begin(self, cells: int) -> None:
        """So many cells are to be finished, over all benchmarks."""

    def step(self, words: str) -> None:
        """What is being done now."""

    def finished_cell(self, benchmark: str, cell: str, how: str) -> None:
        """A cell is on disk. how: `done`, `found finished`, or `shared with` the benchmark that measured it."""
