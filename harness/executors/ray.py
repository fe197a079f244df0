"""Executor `ray`: actors of a Ray cluster, each with a variant on its own GPU, or on a share of the CPU.

Cells are independent: an actor takes the next one as it ends the last, first of those whose variant it has loaded and
whose scores are those of its last cell. Scores go through the store below `out`, which every node has to see, and are
computed once. An actor that dies, with its node or alone, is replaced, and its cell tried again elsewhere.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import MachineError, UserError
from harness.executors._ray_cluster import Cluster, Share, connected
from harness.executors._ray_queue import Waiting
from harness.executors._ray_worker import About, Here, Outcome
from harness.executors.local import is_small
from harness.models.tokenizers import tried
from harness.reading import real
from harness.runs.bench import Step
from harness.runs.binding import BoundBenchmark
from harness.runs.canaries_found import Canaries
from harness.runs.execution import CellTask, Executor
from harness.runs.provenance import source_sha256
from harness.runs.workbench import Identity
from harness.validity.classification import Thresholds

#: So often a cell, or another piece of work, is begun before the run ends.
ATTEMPTS = 3
#: Seconds between two looks at who is at work, and for which nobody may be ready to work.
LOOK_SECONDS, START_SECONDS = 0.5, 600.0


@contextmanager
def executor(
    benchmarks: Sequence[BoundBenchmark], out: Path, address: str | None = None, same_accelerator: bool = False
) -> Iterator[Executor]:
    """The executor on a cluster, or on one of this machine's own without an address.

    address: `auto`, `HOST:PORT` or `ray://HOST:PORT`. same_accelerator: a node whose GPU or processor is another than
    that of the first is not used. Raises UserError where Ray is not installed, no cluster answers, a node runs another
    version of the harness, or does not see `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    with connected(address) as cluster, _probe(out) as probe:
        share = cluster.share(_gpus(benchmarks), all(is_small(bound) for bound in benchmarks))
        here = Here(real(out / "store"), share.threads, os.getcwd(), probe, tuple(tried()))
        cells = sum(len(bound.cells) for bound in benchmarks)
        crew = Crew(cluster, share, here, min(cells, cluster.room(share)), share.threads, same_accelerator)
        try:
            crew.begin()
            yield crew
        finally:
            crew.end()


def _gpus(benchmarks: Sequence[BoundBenchmark]) -> int:
    return max(bound.variant.tensor_parallel_size for bound in benchmarks)


@contextmanager
def _probe(out: Path) -> Iterator[Path]:
    """A file that a node sees if it sees the folder of the run."""
    path = real(out) / f".seen-by-{secrets.token_hex(8)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@dataclass
class _Hand:
    """An actor that works, or begins to. about: None until it is ready. last: its last cell."""

    actor: Any
    ready: Any
    about: About | None = None
    last: CellTask | None = None


@dataclass
class Crew:
    """Actors, and who of them is at what. See harness.runs.execution.Executor."""

    cluster: Cluster
    share: Share
    here: Here
    processes: int
    threads: int
    same_accelerator: bool
    _hands: list[_Hand] = field(default_factory=list)
    _first: About | None = None

    def begin(self) -> None:
        """Start the actors, and wait until one of them is ready."""
        self._start()
        self._some_ready()

    def end(self) -> None:
        """End every actor at once; what it is at would be done again anyway."""
        for hand in self._hands:
            self.cluster.kill(hand.actor)
        self._hands.clear()

    def hardware(self) -> dict[str, Any]:
        """See harness.runs.execution.Executor."""
        return self._one().hardware

    def machine(self) -> dict[str, Any]:
        """See harness.runs.execution.Executor."""
        return self._one().machine

    def identify(self, bound: BoundBenchmark) -> Identity:
        """See harness.runs.execution.Executor."""
        found: Identity = self._result("identify", bound)
        return found

    def calibrate(self, bound: BoundBenchmark) -> Thresholds | None:
        """See harness.runs.execution.Executor."""
        found: Thresholds | None = self._result("calibrate", bound)
        return found

    def canaries(self, bound: BoundBenchmark, thresholds: Thresholds | None) -> Canaries:
        """See harness.runs.execution.Executor."""
        found: Canaries = self._result("canaries", bound, thresholds)
        return found

    def measure(self, tasks: Sequence[CellTask], step: Step) -> Iterator[CellTask]:
        """As many at once as there are actors, given back as they end."""
        waiting = Waiting(tasks, ATTEMPTS)
        at_work: dict[Any, tuple[_Hand, CellTask]] = {}
        while waiting or at_work:
            self._start()
            self._look_who_is_ready()
            busy = [hand for hand, _ in at_work.values()]
            for hand in self._ready():
                if waiting and not any(hand is other for other in busy):
                    task = waiting.next_for(hand.last)
                    where = None if hand.about is None else self._elsewhere(hand.about)
                    call = hand.actor.measure.remote(task.bound, task.cell, task.thresholds, task.journal, where)
                    at_work[call] = hand, task
            if not at_work:
                self._some_ready()
                continue
            step(", ".join(task.cell for _, task in at_work.values())[:80])
            for call in self.cluster.ended(list(at_work), LOOK_SECONDS):
                hand, task = at_work.pop(call)
                if self._came_through(call, hand, task, waiting):
                    hand.last = task
                    yield task

    def _came_through(self, call: Any, hand: _Hand, task: CellTask, waiting: Waiting) -> bool:
        """Whether a cell is on disk. If not, it waits again, unless it was begun too often."""
        outcome = self._outcome(call, hand)
        if not outcome.tried_again:
            outcome.value()
            return True
        self._let_go(hand)
        waiting.again(task, outcome.words)
        return False

    def _result(self, name: str, *arguments: object) -> Any:
        """What the first actor that is ready makes of a piece of work; of another where it dies."""
        words = ""
        for _ in range(ATTEMPTS):
            hand = self._some_ready()
            outcome = self._outcome(getattr(hand.actor, name).remote(*arguments), hand)
            if not outcome.tried_again:
                return outcome.value()
            words = outcome.words
            self._let_go(hand)
        raise MachineError(f"{name} was begun {ATTEMPTS} times on the cluster, and ended each time: {words}")

    def _outcome(self, call: Any, hand: _Hand) -> Outcome:
        found: Outcome = self.cluster.outcome(call)
        node = "an actor" if hand.about is None else hand.about.node
        return found.on(node)

    def _one(self) -> About:
        self._some_ready()
        assert self._first is not None
        return self._first

    def _elsewhere(self, about: About) -> str | None:
        """What a cell is marked with that is measured on another kind of machine than the run's own."""
        return None if self._first is None or about.kind == self._first.kind else about.kind

    def _start(self) -> None:
        """Have as many actors as there is room for."""
        while len(self._hands) < self.processes:
            actor = self.cluster.actor(self.share, self.here)
            self._hands.append(_Hand(actor, actor.about.remote()))

    def _ready(self) -> list[_Hand]:
        return [hand for hand in self._hands if hand.about is not None]

    def _some_ready(self) -> _Hand:
        """An actor that is ready. Raises MachineError where none is for a long time, or each dies as it begins."""
        died = waited = 0.0
        while not self._ready():
            self._start()
            died += self._look_who_is_ready(LOOK_SECONDS)
            waited += LOOK_SECONDS
            if died > ATTEMPTS * self.processes or waited > START_SECONDS:
                why = f"{died:.0f} died as they began" if died else f"none began within {START_SECONDS:.0f} s"
                raise MachineError(
                    f"no actor of the cluster is ready to work: {why}; look at `ray status` and at the logs of its "
                    "nodes, and start the same command again: it goes on after its last finished cell"
                )
        return self._ready()[0]

    def _look_who_is_ready(self, seconds: float = 0.0) -> int:
        """Take in actors that have begun, if they may work here; how many died instead."""
        beginning = {hand.ready: hand for hand in self._hands if hand.about is None}
        died = 0
        for call in self.cluster.ended(list(beginning), seconds):
            hand, outcome = beginning[call], self.cluster.outcome(call)
            if outcome.tried_again:
                died += 1
                self._let_go(hand)
                continue
            hand.about = self._admitted(outcome.value(), hand)
        return died

    def _admitted(self, about: About, hand: _Hand) -> About | None:
        if about.source_sha256 != source_sha256():
            raise UserError(
                f"node {about.node} has harness {about.version} of another source than this one; expected the same "
                "on every node: install it there, or start all nodes from one image"
            )
        if not about.sees_the_run:
            raise UserError(
                f"node {about.node} does not see the folder of --out; expected a file system that all nodes share: "
                "give --out a folder below one"
            )
        if self._first is None:
            self._first = about
        elif self.same_accelerator and about.kind != self._first.kind:
            self.processes -= 1
            self._let_go(hand)
            return None
        return about

    def _let_go(self, hand: _Hand) -> None:
        self.cluster.kill(hand.actor)
        self._hands = [other for other in self._hands if other is not hand]
