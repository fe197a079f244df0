"""Mutants of specs, variants, golden files, records and files of runs, through the commands that read them.

No mutant may end in a traceback (exit code 70), in an exit code that is not documented, or take longer than LIMIT.
tests/runs/test_fuzzing.py runs a part of them. For a long run, in parts, with the findings kept:

    python -m tests.runs.fuzzing --mutants 100000 --processes 2 --tally tally.jsonl --keep DIR
"""

from tests.runs.fuzzing.places import KINDS, LIMIT, Finding, Range

__all__ = ["KINDS", "LIMIT", "Finding", "Range"]
