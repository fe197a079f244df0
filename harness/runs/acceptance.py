"""Golden values written from a record, with a reason, and never from an invalid one."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from harness.errors import UserError
from harness.formulas.statistics import binomial_tolerance
from harness.runs.binding import load_golden
from harness.runs.files import write_text
from harness.spec import locations
from harness.spec.golden import Basis, GoldenFile, GoldenSource, GoldenValue, Tolerance
from harness.spec.result import Measurement, RunRecord

#: What another processor may change in a figure that is no share of prompts or items.
HARDWARE_RELATIVE = 0.02


@dataclass(frozen=True)
class Change:
    """One golden value before and after; None where there was or will be none."""

    cell: str
    metric: str
    old: float | None
    new: float | None


def accept(record: RunRecord, reason: str) -> tuple[list[Change], GoldenFile]:
    """The golden file that a record makes, and what it changes. Raises UserError for an invalid record."""
    if record.verdict.status == "invalid":
        raise UserError("the record is INVALID and becomes no golden value: " + "; ".join(record.verdict.reasons[:3]))
    if not reason.strip():
        raise UserError("--reason must say why these values are the right ones")
    source = GoldenSource(record=record.id, reason=reason.strip())
    values = []
    for cell in record.cells:
        for measured in cell.measurements:
            if measured.value is not None:
                values.append(
                    GoldenValue(
                        cell=cell.id,
                        metric=measured.metric,
                        value=measured.value,
                        valid=measured.valid,
                        tolerance=_tolerance(measured),
                        source=source,
                    )
                )
    variant, benchmark = record.variant["name"], record.spec["id"]
    new = GoldenFile(variant=variant, benchmark=benchmark, source=source, values=tuple(values),
                     claims={claim.id: claim.status for claim in record.claims})  # fmt: skip
    return _changes(load_golden(variant, benchmark), new), new


def write_golden(golden: GoldenFile) -> str:
    """Write a golden file to its place. Returns the place relative to the project."""
    path = locations.golden_path(golden.variant, golden.benchmark)
    write_text(path, golden_yaml(golden))
    return str(path.relative_to(locations.root()))


def golden_yaml(golden: GoldenFile) -> str:
    """The file's text: one line for each value, so that a change of values is a change of lines."""
    content = golden.model_dump(mode="json", exclude_none=True)
    values = content.pop("values")
    claims = {"claims": content.pop("claims")}
    lines = ["- " + yaml.safe_dump(_shortened(value, content.get("source")), sort_keys=False, default_flow_style=True,
                                   width=10**6) for value in values]  # fmt: skip
    head, tail = (yaml.safe_dump(part, sort_keys=False, width=120) for part in (content, claims))
    return head + ("values:\n" + "".join(lines) if lines else "values: []\n") + (tail if claims["claims"] else "")


def _shortened(value: dict[str, object], source: object) -> dict[str, object]:
    """Without the source that the whole file has, and without `valid: true`, which is the rule."""
    left_out = {"source": source, "valid": True}
    return {key: entry for key, entry in value.items() if key not in left_out or entry != left_out[key]}


def _tolerance(measured: Measurement) -> Tolerance:
    value = measured.value or 0.0
    if measured.standard_error is not None and 0.0 <= value <= 1.0:
        return Tolerance(
            width=round(binomial_tolerance(value, measured.n), 6), basis="binomial", note=f"n = {measured.n}"
        )
    basis: Basis = "hardware_spread"
    return Tolerance(width=round(max(abs(value) * HARDWARE_RELATIVE, 1e-4), 6), basis=basis,
                     note=f"{HARDWARE_RELATIVE:.0%} of the value")  # fmt: skip


def _changes(old: GoldenFile | None, new: GoldenFile) -> list[Change]:
    before = {(value.cell, value.metric): value.value for value in (old.values if old else ())}
    after = {(value.cell, value.metric): value.value for value in new.values}
    return [Change(cell, metric, before.get((cell, metric)), after.get((cell, metric)))
            for cell, metric in sorted({*before, *after})]  # fmt: skip
