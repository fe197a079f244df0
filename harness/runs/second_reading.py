"""The last step of a run: its record is read a second time, and one that does not verify is INVALID."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.runs.journal import Journal
from harness.spec.result import EXIT_CODES, RunRecord, Verdict
from harness.verification.reader import verify
from harness.verification.verdicts import SECOND_READING

#: So many differences are among the reasons of a verdict; `harness verify` tells all.
TOLD = 10


def written(journal: Journal, record: RunRecord) -> tuple[RunRecord, Path]:
    """Write the record that ends a run, as INVALID where a second reading comes to something else. With its path.

    It is read before it is the run's: a process that ends in between leaves a run without a record.
    """
    with journal.candidate(record) as path:
        found = not_verified(path)
    record = as_read(record, found)
    return record, journal.write_record(record)


def as_read(record: RunRecord, found: Sequence[str]) -> RunRecord:
    """The record, INVALID where a second reading comes to something else. found: what `not_verified` gave."""
    if not found:
        return record
    reasons = (*record.verdict.reasons, *(f"{SECOND_READING}{words}" for words in found))
    verdict = Verdict(status="invalid", exit_code=EXIT_CODES["invalid"], reasons=reasons)
    return record.model_copy(update={"verdict": verdict})


def not_verified(path: Path) -> list[str]:
    """In what a record differs from a second reading of it: the first differences, in words; empty where it does not.

    path: of record.json.
    """
    try:
        differs = verify(path).differs
    except UserError as error:
        return [str(error).replace(f"{path.parent}/", "")]
    except Exception as error:  # of the reader itself: what it could not read, it has not borne out
        return [f"the second reading ended with {type(error).__name__}; `harness verify` shows where"]
    more = [f"and {len(differs) - TOLD} more; `harness verify` tells all"] if len(differs) > TOLD else []
    return [*(difference.words for difference in differs[:TOLD]), *more]
