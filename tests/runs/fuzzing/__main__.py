"""A long run, in parts: each block of seeds that was tried is a line of the tally, and is not tried again."""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.runs.fuzzing import KINDS, Finding
from tests.runs.fuzzing.blocks import BLOCK, Block, begin, tried

#: In this order, again and again: a mutant of a file of a run takes several times as long as the others.
TURNS = (*KINDS[:4], *KINDS[:4], *KINDS)


def _left(done: set[Block], only: str | None, first: int) -> Iterator[Block]:
    """Blocks that no line of the tally has, without end."""
    seeds = dict.fromkeys(KINDS, first)
    for kind in itertools.cycle([only] if only else TURNS):
        block = (kind, seeds[kind])
        seeds[kind] += BLOCK
        if block not in done:
            yield block


def _lines(tally: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tally.read_text().splitlines()] if tally.exists() else []


def _commit() -> str:
    told = [["git", "rev-parse", "--short", "HEAD"], ["git", "status", "--porcelain"]]
    head, changes = (subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip() for line in told)
    return f"{head} and changes" if changes else head


def _long_run(given: argparse.Namespace) -> int:
    lines, end, told = _lines(given.tally), time.monotonic() + given.seconds, set()
    blocks = _left({(line["kind"], line["first"]) for line in lines}, given.only, given.first)
    commit = _commit()
    with (
        tempfile.TemporaryDirectory() as scratch,
        multiprocessing.get_context("spawn").Pool(given.processes, begin, (scratch,)) as pool,
        given.tally.open("a") as tally,
    ):
        enough = (block for block in itertools.islice(blocks, -(-given.mutants // BLOCK)) if time.monotonic() < end)
        for waiting in iter(lambda: [*itertools.islice(enough, given.processes)], []):
            for (kind, first), seconds, memory, findings in pool.imap_unordered(tried, waiting):
                line = {"commit": commit, "kind": kind, "first": first, "mutants": BLOCK, "findings": len(findings)}
                tally.write(json.dumps({**line, "seconds": round(seconds, 2), "memory": memory}) + "\n")
                tally.flush()
                for finding in findings:
                    _keep(finding, given.keep, told)
    _sums(_lines(given.tally))
    return 1 if told else 0


def _keep(finding: Finding, keep: Path, told: set[str]) -> None:
    """Write it, and say where it came from unless another of this run ended alike."""
    keep.mkdir(parents=True, exist_ok=True)
    (keep / f"{finding.kind}-{finding.seed}").write_bytes(finding.mutant)
    last = finding.where.strip().splitlines()[-1]
    if last not in told:
        told.add(last)
        print(f"{finding.kind} {finding.seed}: {finding.where}\n", flush=True)


def _sums(lines: list[dict[str, Any]]) -> None:
    mutants, found = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for line in lines:
        mutants[line["commit"], line["kind"]] += line["mutants"]
        found[line["commit"], line["kind"]] += line["findings"]
    for (commit, kind), number in sorted(mutants.items()):
        print(f"{commit}: {number} mutants of a {kind}, {found[commit, kind]} findings")
    print(f"{sum(mutants.values())} mutants, {sum(found.values())} findings")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.runs.fuzzing", description=__doc__)
    parser.add_argument("--mutants", type=int, default=10**9, help="So many more, in whole blocks.")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--first", type=int, default=0, help="The first seed of each kind.")
    parser.add_argument("--tally", type=Path, default=Path("fuzz-tally.jsonl"), help="What was tried, added to.")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="A folder for what was found.")
    raise SystemExit(_long_run(parser.parse_args()))
