"""Where a record's verdict, checks and claims do not follow from its own cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import ValidationError

from harness.runs.fitness import unfit
from harness.runs.judgement import verdict
from harness.runs.judges_compared import claims_by_judges
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import SHARE
from harness.spec.json_text import problems_of
from harness.spec.result import EXIT_CODES, RunRecord
from harness.spec.variant import ModelVariant


def misjudged(record: RunRecord, spec: BenchmarkSpec) -> Iterator[str]:
    """What is in a record and does not follow from the rest of it, in words.

    Golden values are not looked at: they may have changed since, and the checks stand as they were.
    """
    yield from _variant(record)
    yield from _cells(record, spec)
    yield from _figures(record)
    why_unfit = unfit(spec, record.cells)
    claims = claims_by_judges(spec, record.cells, why_unfit)
    for claim, told in zip(claims, record.claims, strict=False):
        if claim != told:
            yield f"the claim {claim.id} is told as {told.status}: {told.evidence}; its cells say {claim.status}"
    if len(claims) != len(record.claims):
        yield f"the record tells {len(record.claims)} claims, and its spec makes {len(claims)}"
    followed = verdict(record.cells, record.checks, record.canaries, why_unfit)
    if followed != record.verdict or record.verdict.exit_code != EXIT_CODES[record.verdict.status]:
        yield f"the verdict is {record.verdict.status}; from cells, checks and canaries follows {followed.status}"


def _variant(record: RunRecord) -> Iterator[str]:
    """What the variant of a record lacks, or has that none has: golden values are of a model that can be named."""
    try:
        ModelVariant.model_validate(record.variant)
    except ValidationError as error:
        yield f"its variant is none of this version: {problems_of(error)}"


def _cells(record: RunRecord, spec: BenchmarkSpec) -> Iterator[str]:
    """The run's names, and cells of the spec that were neither measured nor skipped, and others; each once."""
    names = [record.variant.get("name"), spec.id]
    if record.id.split("/")[:2] != names:
        yield f"the run is called {record.id}, and it is of {names[1]} on {names[0]}"
    counts = Counter(cell.id for cell in record.cells)
    yield from (f"the cell {cell} is there {count} times" for cell, count in counts.items() if count > 1)
    declared = {cell.id: cell for cell in spec.expanded_cells()}
    absent = declared.keys() - counts.keys() - record.skipped_cells.keys()
    yield from (f"the cell {cell} of the spec was neither measured nor skipped" for cell in sorted(absent))
    for cell in record.cells:
        wanted = declared.get(cell.id)
        if wanted is None or wanted.group != cell.group or wanted.parameters != cell.parameters:
            yield f"the cell {cell.id} is no cell of the spec"


def _figures(record: RunRecord) -> Iterator[str]:
    """Figures twice, shares beyond 0 and 1, and figures of cells whose receipts do not hold but count as valid."""
    for cell in record.cells:
        counts = Counter(measured.metric for measured in cell.measurements)
        yield from (f"{cell.id}: {metric} is there {count} times" for metric, count in counts.items() if count > 1)
        broken = any(not receipt.holds for receipt in cell.receipts)
        for measured in cell.measurements:
            if measured.n < 0:
                yield f"{cell.id}: {measured.metric} is over {measured.n} units"
            if SHARE.search(measured.metric) and not -1e-9 <= (measured.value or 0.0) <= 1 + 1e-9:
                yield f"{cell.id}: {measured.metric} is {measured.value:.6g}; expected a share from 0 to 1"
            if broken and measured.valid:
                yield f"{cell.id}: {measured.metric} counts as valid, and a receipt of the cell does not hold"
