"""What was reproduced, on what, with which verdict, as tables of Markdown: of a folder of runs, or of golden/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.reports.document import Place, markdown_table
from harness.reports.text import source_words
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile, GoldenSource
from harness.spec.loading import load_yaml_model
from harness.spec.result import RunRecord

PLACE = Place(
    "the table of what was reproduced",
    "<!-- made by `harness report --markdown --document` -->",
    "<!-- end of what `harness report --markdown --document` made -->",
    "results/golden.md",
)
OF_RUNS = (
    "variant",
    "benchmark",
    "reproduces",
    "verdict",
    "checks passed",
    "invalid cells",
    "claims",
    "commit",
    "machine",
    "finished",
    "seconds",
)
OF_GOLDEN = ("variant", "benchmark", "values of ours", "printed", "claims", "run", "commit", "machine")
#: In the order in which outcomes of claims are counted.
OUTCOMES = ("supported", "contradicted", "underpowered", "not_evaluated")


def table_of_runs(records: Sequence[RunRecord]) -> str:
    """One row for each record. seconds: of the cells that this run measured itself."""
    return markdown_table(OF_RUNS, map(_run_row, records))


def table_of_golden(paths: Iterable[Path], spec_paths: Iterable[Path]) -> str:
    """One row for each golden file: how many values, and the run that they come from.

    It says nothing of a run that is not accepted. A benchmark that has no golden file on a variant has no row;
    values of golden files that have no spec any more are named as such.
    """
    titles = {path.stem: load_yaml_model(path, BenchmarkSpec).title for path in spec_paths}
    return markdown_table(OF_GOLDEN, (_golden_row(load_yaml_model(path, GoldenFile), titles) for path in sorted(paths)))


def _run_row(record: RunRecord) -> tuple[str, ...]:
    provenance, source = record.provenance, source_words(record.spec["source"])
    passed = sum(check.status == "passed" for check in record.checks)
    invalid = sum(any(not m.valid for m in cell.measurements) for cell in record.cells)
    expected = sum(
        cell.invalid_is_expected is not None and any(not m.valid for m in cell.measurements) for cell in record.cells
    )
    own = sum(cell.seconds for cell in record.cells if cell.measured_in is None)
    return (
        record.variant["name"],
        record.spec["id"],
        ", ".join(filter(None, (record.spec["source"]["work"], source))),
        record.verdict.status.replace("_", " ").upper(),
        f"{passed} of {len(record.checks)}",
        f"{invalid} of {len(record.cells)}" + (f" ({expected} expected)" if expected else ""),
        _claims(claim.status for claim in record.claims),
        provenance.commit or "-",
        provenance.machine,
        provenance.finished,
        f"{own:.0f}",
    )


def _golden_row(golden: GoldenFile, titles: dict[str, str]) -> tuple[str, ...]:
    sources = list(dict.fromkeys(value.source for value in golden.values if value.source.record))
    ours = sum(value.source.record is not None for value in golden.values)
    name = golden.benchmark if golden.benchmark in titles else f"{golden.benchmark} (no such benchmark any more)"
    printed = len(golden.values) - ours
    return (
        golden.variant,
        name,
        str(ours or "-"),
        str(printed or "-"),
        _claims(golden.claims.values()) if sources else "-",
        "; ".join(source.record or "" for source in sources) or "**never run here**",
        _each(sources, "commit"),
        _each(sources, "machine"),
    )


def _claims(outcomes: Iterable[str]) -> str:
    """`3 supported, 1 contradicted`."""
    counts = Counter(outcomes)
    return ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in OUTCOMES if counts[name]) or "none"


def _each(sources: Sequence[GoldenSource], fact: str) -> str:
    """A fact of the runs; of one that was accepted before it was kept, that it was not."""
    known = dict.fromkeys(getattr(source, fact) or "not kept" for source in sources)
    return "; ".join(known) or "-"
