"""What a variant made smaller, and what it left out: held against the variant and the spec as the record has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.spec.adapting import Adaptation
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded

#: The key of a spec's numbers, and that of the variant's sizes which bounds it.
_CALIBRATION = ("samples", "calibration_samples")
_EVALUATIONS = (("prompts", "prompts"), ("samples", "samples_each"), ("limit", "items"), ("windows", "windows"))


def check_adaptation(run: Recorded, ledger: Ledger) -> None:
    """Every number is within the variant's sizes, is told where it was made smaller, and is the one that is told.

    What is left out is not in the spec, and rests on data that the variant may be without and that was not read.
    """
    told, variant = run.record.adaptation or Adaptation(), run.record.variant
    sizes: Mapping[str, Any] = variant.get("sizes") or {}
    numbers = {key: (value, sizes.get(bound)) for key, bound, value in _numbers(run)}
    for key, (value, bound) in numbers.items():
        if bound is not None:
            ledger.same("size", "the run", key, value is not None and value <= bound, True)
    for key, size in told.sizes.items():
        value, bound = numbers.get(key, (None, None))
        ledger.same("size", "the run", key, size.used, value)
        ledger.same("size", "the run", f"{key} of the variant", size.used, bound)
        larger = size.declared is None or size.declared > size.used
        ledger.same("size", "the run", f"{key} in the benchmark's file", larger, True)
    names = {entry.name for entry in run.spec.evaluations} | {claim.id for claim in run.spec.claims}
    for name in told.left_out:
        ledger.same("left out", "the run", name, name in names, False)
    _check_lacking(run, told, ledger)
    for claim in run.spec.claims:
        lost = told.in_part.get(claim.id, ())
        measured = {condition.metric for condition in claim.conditions}
        ledger.same("claim", "claims", f"metrics of {claim.id} that were left out", sorted(measured & set(lost)), [])


def _check_lacking(run: Recorded, told: Adaptation, ledger: Ledger) -> None:
    """A reason that names data: optional ones, of which no file was read."""
    datasets: Mapping[str, Any] = run.record.variant.get("datasets") or {}
    begins = f"the variant {run.record.variant.get('name')} has no "
    for name, reason in told.left_out.items():
        lacking = reason.removeprefix(begins).split(", ") if reason.startswith(begins) else []
        for dataset in lacking:
            optional = bool((datasets.get(dataset) or {}).get("optional"))
            ledger.same("left out", "the run", f"{name}: {dataset} is optional", optional, True)
            read = dataset in run.record.provenance.data_sha256
            ledger.same("left out", "the run", f"{name}: {dataset} was read", read, False)


def _numbers(run: Recorded) -> Iterator[tuple[str, str, int | None]]:
    """(key in the spec, key of the variant's sizes, value) of every number that sizes bound."""
    for name, calibration in run.spec.calibration.items():
        yield f"calibration.{name}.{_CALIBRATION[0]}", _CALIBRATION[1], calibration.samples
    for entry in run.spec.evaluations:
        for key, bound in _EVALUATIONS:
            if hasattr(entry, key) and not (key == "samples" and entry.samples == 1):
                yield f"evaluations.{entry.name}.{key}", bound, getattr(entry, key)
