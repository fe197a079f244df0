"""What a fault module has, and what the suite gives to one that brings a run of its own.

    NUMBER: int                      its number in the list of REPRODUCIBILITY.md; 22 for one that is not on it
    TITLE: str                       what is wrong, in words
    CAUGHT_BY: tuple[str, ...]       who has to say so: "stage/name" of receipts, "validity", "load" or "validate";
                                     any of them is the right catch, one by anybody else is an accident
    injected() -> Iterator[None]     a context manager, within which the harness has the fault

and may have

    CELLS: tuple[str, ...]           groups of suite.yaml that the fault is to be seen in, besides `intact`: only they
                                     are run; without it, all are
    run(trial: Trial) -> Outcome     in the place of a run of the small benchmark, for a fault that acts elsewhere:
                                     when a model is loaded or saved, a file validated, a record accepted. It is
                                     called within `injected()`

A fault is a bug as it would happen in the code that measures. It touches no receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError

#: Who speaks besides receipts and canaries: figures that mean nothing, an error before or instead of figures, a claim
#: or golden value that does not hold, an error of the harness itself.
VALIDITY, LOAD, VALIDATE, CHECK, CRASH = "validity", "load", "validate", "check", "crash"


@dataclass(frozen=True)
class Alarm:
    """Something that the harness said is wrong. by: "stage/name" of a receipt, or one of the names above."""

    by: str
    words: str


@dataclass(frozen=True)
class Outcome:
    """What came of a run. verdict: the record's status, or `refused` where no record was made.

    asr_vanilla: what the published scorer prints, by cell, whether the figure means anything or not.
    """

    verdict: str
    alarms: tuple[Alarm, ...] = ()
    asr_vanilla: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What a fault's own `run` may use. variant: the organism's file. folder: its own, empty at first."""

    variant: Path
    folder: Path
    benchmark: Callable[[], Outcome]


def refusal(by: str, work: Callable[[], object]) -> Outcome:
    """The outcome of work that should be refused with a message: `refused` if it is, `passed` if not."""
    try:
        work()
    except UserError as error:
        return Outcome("refused", (Alarm(by, str(error)),))
    return Outcome("passed")
