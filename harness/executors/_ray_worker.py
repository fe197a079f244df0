"""What runs in an actor of Ray: one workbench, and what it tells of the node that it is on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import harness
from harness.errors import MachineError, UserError
from harness.models.tokenizers import take_as_tried
from harness.runs import provenance
from harness.runs.binding import BoundBenchmark
from harness.runs.journal import Journal
from harness.runs.processes import called
from harness.runs.workbench import Workbench
from harness.shown import only_text
from harness.validity.classification import Thresholds


@dataclass(frozen=True)
class Here:
    """What every actor is given. store: below the run's folder. probe: a file there that was made for this run."""

    store: Path
    threads: int
    folder: str
    probe: Path
    tried: Sequence[str]


@dataclass(frozen=True)
class About:
    """An actor and its node. hardware, machine: as in harness.runs.provenance."""

    node: str
    version: str
    source_sha256: str
    sees_the_run: bool
    hardware: dict[str, Any]
    machine: dict[str, Any]

    @property
    def kind(self) -> str:
        """The accelerator, or the processor where there is none."""
        return str(self.hardware["accelerator"] or self.hardware["processor"])


@dataclass(frozen=True)
class Outcome:
    """What a call gave or raised. tried_again: it may come through on another node. words: why it did not."""

    given: Any = None
    error: BaseException | None = None
    tried_again: bool = False
    words: str = ""

    def value(self) -> Any:
        """What was given. Raises what was raised."""
        if self.error is not None:
            raise self.error
        return self.given

    def on(self, node: str) -> Outcome:
        """The same, with the node's name where it may be tried again."""
        return replace(self, words=f"{self.words} (on {node})") if self.tried_again else self


class Worker:
    """An actor. Its methods give an Outcome: what Ray makes of an error is another one."""

    def __init__(self, here: Here) -> None:
        only_text()
        torch.set_num_threads(here.threads)
        with suppress(OSError):  # another node may lack the folder, and needs it for relative paths alone
            os.chdir(here.folder)
        take_as_tried(here.tried)
        self._here = here
        self._workbench = Workbench(here.store)

    def about(self) -> Outcome:
        """The node, and whether it sees the run."""
        threads = self._here.threads
        found = About(
            platform.node(),
            harness.__version__,
            provenance.source_sha256(),
            self._here.probe.is_file(),
            provenance.hardware(threads),
            provenance.machine(threads),
        )
        return Outcome(found)

    def identify(self, bound: BoundBenchmark) -> Outcome:
        """See harness.runs.workbench.Workbench."""
        return _outcome(self._workbench.identify, bound)

    def calibrate(self, bound: BoundBenchmark) -> Outcome:
        """See harness.runs.workbench.Workbench."""
        return _outcome(self._workbench.calibrate, bound)

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> Outcome:
        """See harness.runs.workbench.Workbench."""
        return _outcome(self._workbench.canaries, bound, thresholds)

    def measure(
        self,
        bound: BoundBenchmark,
        cell: str,
        thresholds: Thresholds | None,
        journal: Journal,
        measured_on: str | None,
    ) -> Outcome:
        """See harness.runs.workbench.Workbench."""
        self._workbench.measured_on = measured_on
        return _outcome(self._workbench.measure, bound, cell, thresholds, journal, _nobody)


def _nobody(_words: str) -> None:
    """Who is told of steps within a cell."""


def _outcome(work: Any, *arguments: object) -> Outcome:
    """Memory, storage and the like may be there on another node; bad input is bad input on all."""
    try:
        return Outcome(called(work, arguments))
    except MachineError as error:
        return Outcome(error=error, tried_again=True, words=str(error))
    except (UserError, Exception) as error:
        return Outcome(error=error)
