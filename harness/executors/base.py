"""Run benchmarks with an executor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import plugins
from harness.errors import InvalidRun, UserError
from harness.runs.binding import BoundBenchmark
from harness.runs.execution import Progress
from harness.runs.files import require_writable
from harness.runs.journal import read_record
from harness.runs.pipeline import run_benchmarks
from harness.runs.token_checks import require_tokens
from harness.spec.result import RunRecord


def run_all(
    benchmarks: Sequence[BoundBenchmark],
    out: Path,
    command: Callable[[BoundBenchmark], str],
    progress: Progress,
    executor: str = "local",
    options: Mapping[str, str | bool] | None = None,
) -> list[tuple[RunRecord, Path]]:
    """Run benchmarks together, with the executor of that name. options: what it is given besides, by name.

    Raises UserError if there is none, and, before any weight is loaded, for data that are too few or too many tokens.
    Raises InvalidRun where the records are not those that were asked for.
    """
    require_writable(out / "store")
    require_tokens(benchmarks)
    begin = plugins.load("executors", executor).executor
    _refuse_unknown(executor, begin, options or {})
    with begin(benchmarks, out, **(options or {})) as chosen:
        return _as_asked(benchmarks, run_benchmarks(benchmarks, out, command, progress, chosen, executor))


def _refuse_unknown(executor: str, begin: Callable[..., Any], options: Mapping[str, str | bool]) -> None:
    """Raises UserError for an option that the executor does not take."""
    known = inspect.signature(begin).parameters
    for name in options:
        if name not in known:
            option = name.replace("_", "-")
            raise UserError(f"the executor {executor} takes no --{option}; expected --executor ray with --{option}")


def _as_asked(
    benchmarks: Sequence[BoundBenchmark], found: list[tuple[RunRecord, Path]]
) -> list[tuple[RunRecord, Path]]:
    """The records, if each is of the benchmark in its place, and on disk as it is here: exit codes are read from it."""
    asked = [f"{bound.spec.id} on {bound.variant.name}" for bound in benchmarks]
    got = [f"{record.spec['id']} on {record.variant['name']}" for record, _ in found]
    if asked != got:
        raise InvalidRun("run/records", f"expected records of {', '.join(asked)}; got {', '.join(got) or 'none'}")
    for record, path in found:
        if read_record(path) != record:
            raise InvalidRun("run/records", f"{path} is not the record of this run; run it again, alone in its folder")
    return found
