"""What one process of a long run does: a block of seeds after the other."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from tests.runs.fuzzing import Finding, Range

#: Seeds of a kind that are tried one after the other.
BLOCK = 200
Block = tuple[str, int]


@cache
def _place() -> Range:
    """One for each process. Its folder goes with the first process."""
    return Range(Path(tempfile.mkdtemp(dir=Scratch.folder)))


class Scratch:
    """Where processes have their folders."""

    folder = ""


def begin(folder: str) -> None:
    """Say where this process may have its folder."""
    Scratch.folder = folder


def tried(block: Block) -> tuple[Block, float, int, list[Finding]]:
    """A block, seconds of computing, the most memory so far in MiB, and what was found."""
    kind, first = block
    place, start = _place(), time.process_time()
    findings = [found for seed in range(first, first + BLOCK) if (found := place.tried(kind, seed)) is not None]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform == "darwin" else 1024)
    return block, time.process_time() - start, memory, findings
