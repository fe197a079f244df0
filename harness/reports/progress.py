"""Progress on stderr: what is being done, how far it is, how long it will take."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.shown import one_line
from harness.terminal import console


class ProgressBar:
    """One bar over all cells; where stderr is no terminal, one line for each finished cell."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            TextColumn("{task.completed:g}/{task.total:g}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left:", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
            redirect_stdout=False,  # what is printed meanwhile goes by harness/shown.py, and not by rich
            redirect_stderr=False,
        )
        self._task: TaskID | None = None
        self._name = ""
        self._total = 0
        self._done = 0

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, cells: int) -> None:
        """So many cells are to be finished, over all benchmarks."""
        self._total, self._done = cells, 0
        self._task = self._bar.add_task("cells", total=cells, words="")

    def step(self, words: str) -> None:
        """What is being done now."""
        if self._task is not None:
            self._bar.update(self._task, words=one_line(words))

    def finished_cell(self, benchmark: str, cell: str, how: str) -> None:
        """A cell is on disk."""
        self._done += 1
        if self._task is not None:
            self._bar.update(self._task, advance=1, description=one_line(benchmark))
        if not self._console.is_terminal:
            line = one_line(f"{benchmark} {self._done}/{self._total} {cell} {how}")
            self._console.print(line, highlight=False, soft_wrap=True)

    def share(self, words: str, share: float) -> None:
        """A task of one piece: what is being done, and the share of the whole that is done."""
        if self._task is None:
            self._task = self._bar.add_task("organism", total=1.0, words="")
        self._bar.update(self._task, completed=share, words=one_line(words))
        if not self._console.is_terminal and words != self._name:
            self._name = words
            self._console.print(one_line(f"{share:4.0%} {words}"), highlight=False)
