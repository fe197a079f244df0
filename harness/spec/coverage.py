"""Which figures a spec measures on a variant, and which of them a golden file lacks."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from harness.spec.adapting import adapted, optional_data
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.golden import GoldenFile
from harness.spec.metrics import CELL_METRICS
from harness.spec.variant import ModelVariant


def why_skipped(cell: Cell, variant: ModelVariant) -> str | None:
    """Why a variant cannot have a cell, or None if it can."""
    if cell.requires_planted_region and variant.planted_region is None:
        return f"the variant {variant.name} has no planted region"
    if cell.variants and not any(fnmatchcase(variant.name, pattern) for pattern in cell.variants):
        return f"these numbers are for {', '.join(cell.variants)}"
    return None


def measured_figures(spec: BenchmarkSpec, variant: ModelVariant) -> Iterator[tuple[str, str]]:
    """(cell, metric) of every figure that any model of the variant's kind gives.

    Those of single layers and heads are left out, since their names depend on the weights, and those that an
    evaluation may leave out (`conditional_metrics`).
    """
    for cell in spec.expanded_cells():
        if why_skipped(cell, variant) is not None:
            continue
        for evaluation in spec.evaluations_of(cell):
            conditional = evaluation.conditional_metrics
            always = [metric for metric in evaluation.metrics if metric not in conditional]
            yield from ((cell.id, metric) for metric in (*always, *evaluation.metrics_on(variant)))
        if variant.planted_region is not None and cell.region and not cell.region.of_ranks:
            yield from ((cell.id, metric) for metric in CELL_METRICS)


def lacking(golden: GoldenFile, spec: BenchmarkSpec, variant: ModelVariant) -> list[str]:
    """What a golden file that was made from a record lacks, in words: of a metric its cell, or which claim.

    Tables of a publication are partial by nature: a file without a value from a record lacks nothing.
    What rests on data that the variant may be without is not asked for.
    """
    if not any(value.source.record for value in golden.values):
        return []
    spec, _ = adapted(spec, variant, optional_data(variant))
    known = {(value.cell, value.metric) for value in golden.values}
    absent = [
        f"`{metric}` in cell `{cell}`"
        for cell, metric in measured_figures(spec, variant)
        if (cell, metric) not in known
    ]
    absent += [
        f"the outcome of claim `{claim.id}`"
        for claim in spec.claims
        if claim.expect is None and claim.id not in golden.claims
    ]
    return absent
