"""What a variant made of a benchmark's file, made a second time of the file's spec, which every run keeps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.spec.adapting import Adaptation
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.manifest import DECLARED
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded

#: The key of a spec's numbers, and that of the variant's sizes which bounds it.
_CALIBRATION = ("samples", "calibration_samples")
_EVALUATIONS = (("prompts", "prompts"), ("samples", "samples_each"), ("limit", "items"), ("windows", "windows"))


def check_adaptation(run: Recorded, ledger: Ledger) -> None:
    """The spec of the record is that of the benchmark's file in the variant's sizes, and all that is changed is told.

    What is left out rests on data that the variant may be without and that was not read.
    """
    told = run.record.adaptation or Adaptation()
    lacking = set(_check_lacking(run, told, ledger))
    if run.as_declared is None:
        ledger.wrong("file", "the run", DECLARED, "missing, or no spec", "the spec as its file has it")
        return
    own = _Own(run.as_declared, run.record.variant, lacking)
    recorded = run.spec.model_dump(mode="json", exclude_none=True)
    for name, one, other in _parts(recorded, own.spec):
        ledger.same("spec", "the run", name, one, other)
    sizes = {key: (size.declared, size.used) for key, size in told.sizes.items()}
    for key in sorted({*sizes, *own.sizes}):
        ledger.same("size", "the run", key, sizes.get(key), own.sizes.get(key))
    for name in sorted({*told.left_out, *own.left_out}):
        ledger.same("left out", "the run", name, told.left_out.get(name), own.left_out.get(name))
    for name in sorted({*told.in_part, *own.in_part}):
        lost = told.in_part.get(name)
        ledger.same("claim", "claims", f"metrics of {name} that were left out", lost, own.in_part.get(name))


class _Own:
    """The adaptation as it has to be. spec: as JSON. sizes: (declared, used) by key; the others as in `Adaptation`."""

    def __init__(self, declared: BenchmarkSpec, variant: Mapping[str, Any], lacking: Collection[str]) -> None:
        self.sizes: dict[str, tuple[int | None, int]] = {}
        self.left_out: dict[str, str] = {}
        self.in_part: dict[str, tuple[str, ...]] = {}
        self._bounds: Mapping[str, Any] = variant.get("sizes") or {}
        self.spec: dict[str, Any] = declared.model_dump(mode="json", exclude_none=True)
        gone = []
        for entry in declared.evaluations:
            missing = sorted({*entry.datasets} & {*lacking})
            if missing:
                gone.append(entry)
                self.left_out[entry.name] = f"the variant {variant.get('name')} has no {', '.join(missing)}"
        pairs = zip(declared.evaluations, self.spec["evaluations"], strict=True)
        self.spec["evaluations"] = [self._sized(entry, dumped) for entry, dumped in pairs if entry not in gone]
        for name, calibration in self.spec.get("calibration", {}).items():
            self._bound(calibration, f"calibration.{name}", *_CALIBRATION)
        claims = [self._claim(claim, gone) for claim in self.spec.get("claims", ())]
        self.spec["claims"] = [claim for claim in claims if claim is not None]

    def _sized(self, entry: Any, dumped: dict[str, Any]) -> dict[str, Any]:
        for key, bound in _EVALUATIONS:
            if hasattr(entry, key) and not (key == "samples" and entry.samples == 1):
                self._bound(dumped, f"evaluations.{entry.name}", key, bound)
        return dumped

    def _bound(self, holder: dict[str, Any], place: str, key: str, bound: str) -> None:
        largest, declared = self._bounds.get(bound), holder.get(key)
        if largest is not None and (declared is None or declared > largest):
            holder[key] = largest
            self.sizes[f"{place}.{key}"] = (declared, largest)

    def _claim(self, claim: dict[str, Any], gone: Collection[Any]) -> dict[str, Any] | None:
        """The claim without its conditions on what is not measured; None where no condition is left."""
        conditions = [(condition, {*_metrics(condition)}) for condition in claim["conditions"]]
        asked = sorted(set().union(*(metrics for _, metrics in conditions)))
        lost = [metric for metric in asked if any(_is_of(entry, metric) for entry in gone)]
        kept = [condition for condition, metrics in conditions if not metrics & {*lost}]
        if not lost:
            return claim
        if not kept:
            self.left_out[claim["id"]] = f"it rests on {', '.join(lost)}"
            return None
        self.in_part[claim["id"]] = (*lost,)
        says = f"{claim['says']} (Judged without {', '.join(lost)}: not measured here.)"
        return {**claim, "conditions": kept, "says": says}


def _metrics(condition: Mapping[str, Any]) -> Iterator[str]:
    """That of a condition, and that of the figure which bounds it."""
    yield condition["metric"]
    for side in ("at_least", "at_most"):
        bound = condition.get(side)
        if isinstance(bound, Mapping) and bound.get("metric") is not None:
            yield bound["metric"]


def _is_of(entry: Any, metric: str) -> bool:
    return metric in entry.metrics or any(metric.startswith(prefix) for prefix in entry.metric_prefixes)


def _parts(recorded: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(name, recorded, own) of every part of a spec: evaluations, claims and cells each by its name, in their order."""
    for key in sorted({*recorded, *own}):
        one, other = recorded.get(key), own.get(key)
        if key not in ("evaluations", "claims", "cells") or not (isinstance(one, list) and isinstance(other, list)):
            yield key, one, other
            continue
        ours, theirs = ({_called(each): each for each in side} for side in (one, other))
        yield f"names of {key}", [_called(each) for each in one], [_called(each) for each in other]
        yield from ((f"{key}.{name}", ours[name], theirs[name]) for name in ours if name in theirs)


def _called(part: Mapping[str, Any]) -> str:
    return str(part.get("id") or part.get("name"))


def _check_lacking(run: Recorded, told: Adaptation, ledger: Ledger) -> Iterator[str]:
    """The data that reasons name: optional ones, of which no file was read."""
    datasets: Mapping[str, Any] = run.record.variant.get("datasets") or {}
    begins = f"the variant {run.record.variant.get('name')} has no "
    for name, reason in told.left_out.items():
        lacking = reason.removeprefix(begins).split(", ") if reason.startswith(begins) else []
        for dataset in lacking:
            optional = bool((datasets.get(dataset) or {}).get("optional"))
            ledger.same("left out", "the run", f"{name}: {dataset} is optional", optional, True)
            read = dataset in run.record.provenance.data_sha256
            ledger.same("left out", "the run", f"{name}: {dataset} was read", read, False)
            if optional and not read:
                yield dataset
