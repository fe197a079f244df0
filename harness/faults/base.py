"""What a fault is, and what the suite gives to one that brings a run of its own.

A fault is a bug as it would happen in the code that measures. It touches no receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import UserError
from harness.faults.seam import MakeWrong, replaced

#: Who speaks besides receipts and canaries: figures that mean nothing, an error before or instead of figures, a claim
#: or golden value that does not hold, an error of the harness itself.
VALIDITY, LOAD, VALIDATE, CHECK, CRASH = "validity", "load", "validate", "check", "crash"
#: The second reading of the record.
VERIFICATION = "verification"
#: The modules of faults, along the path from data to a verdict.
FaultStage = Literal[
    "loading",
    "data",
    "prompts",
    "scores",
    "mask",
    "weights",
    "tuning",
    "engine",
    "decoding",
    "figures",
    "inside",
    "judgement",
    "golden",
]
#: The number of a fault that the list of docs/concepts/faults.md has no number of its own for.
UNLISTED = 22


@dataclass(frozen=True)
class Alarm:
    """Something that the harness said is wrong. by: "stage/name" of a receipt, or one of the names above."""

    by: str
    words: str


@dataclass(frozen=True)
class Outcome:
    """What came of a run. verdict: the record's status, or `refused` where no record was made.

    asr_vanilla: what the published scorer prints, by cell, whether the figure means anything or not. figures: all
    figures of a record, by cell and metric.
    """

    verdict: str
    alarms: tuple[Alarm, ...] = ()
    asr_vanilla: dict[str, float] = field(default_factory=dict)
    figures: dict[tuple[str, str], float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What a fault's own `run` may use. variant: the organism's file. folder: its own, empty at first."""

    variant: Path
    folder: Path
    benchmark: Callable[[], Outcome]


@dataclass(frozen=True)
class Fault:
    """A known mistake, who has to notice it, and how it gets into the real code.

    id: its name on the command line. number: in the list of docs/concepts/faults.md. title: what is wrong, in words.
    says: words without which a message does not name it.
    caught_by: who has to say so, "stage/name" of receipts, "validity", "load" or "validate": any of them is the right
        catch, one by anybody else is an accident.
    replaces: by the place where it is looked up (harness.faults.seam), what makes the wrong thing of the right one;
        empty where the fault lies in a file.
    cells: groups of suite.yaml in which the fault is to be seen, besides `intact`: only they are run; None is all.
    run: in the place of a run of the small benchmark, for a fault that acts elsewhere: when a model is loaded or
        saved, a file validated, a record accepted. It is called within `injected()`.
    """

    id: str
    number: int
    title: str
    says: str
    stage: FaultStage
    caught_by: tuple[str, ...]
    replaces: Mapping[str, MakeWrong]
    cells: tuple[str, ...] | None = None
    run: Callable[[Trial], Outcome] | None = None

    @contextmanager
    def injected(self) -> Iterator[None]:
        """Within it the harness has the fault. Raises StaleTarget where a name to replace is no longer there."""
        with ExitStack() as stack:
            for target, make_wrong in self.replaces.items():
                stack.enter_context(replaced(target, make_wrong))
            yield


def refusal(by: str, work: Callable[[], object]) -> Outcome:
    """The outcome of work that should be refused with a message: `refused` if it is, `passed` if not."""
    try:
        work()
    except UserError as error:
        return Outcome("refused", (Alarm(by, str(error)),))
    return Outcome("passed")
