"""A spec on a variant: in the variant's sizes, and without what it has no data for; both stand in the record."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from harness.spec.claim import Claim, Reference
from harness.spec.common import Strict

if TYPE_CHECKING:
    from harness.spec.benchmark import BenchmarkSpec
    from harness.spec.evaluation import DeclaredEvaluation
    from harness.spec.golden import GoldenFile
    from harness.spec.variant import ModelVariant


class Size(Strict):
    """A number of the benchmark's file, None where it asks for all there are, and what the variant made of it."""

    declared: int | None
    used: int


class Adaptation(Strict):
    """What a variant changed of a spec. sizes: by key, such as `evaluations.vanilla.prompts`.

    left_out: evaluations, and claims that rest on nothing else, each with the reason.
    in_part: claims that are judged without some of their conditions, each with the metrics that these are of.
    """

    sizes: dict[str, Size] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    in_part: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def optional_data(variant: ModelVariant) -> list[str]:
    """Data sets that a variant may be without."""
    return [name for name, declared in variant.datasets.items() if declared.optional]


def adapted(spec: BenchmarkSpec, variant: ModelVariant, lacking: Collection[str]) -> tuple[BenchmarkSpec, Adaptation]:
    """The spec as a variant measures it. lacking: data sets that it is without."""
    left_out = {
        entry.name: f"the variant {variant.name} has no {', '.join(missing)}"
        for entry in spec.evaluations
        if (missing := sorted(set(entry.datasets) & set(lacking)))
    }
    gone = [entry for entry in spec.evaluations if entry.name in left_out]
    kept = [entry for entry in spec.evaluations if entry.name not in left_out]
    sizes: dict[str, Size] = {}
    evaluations = tuple(_sized(entry, variant, sizes) for entry in kept)
    calibration = {}
    for name, declared in spec.calibration.items():
        used = min(declared.samples, variant.sizes.calibration_samples or declared.samples)
        if used < declared.samples:
            sizes[f"calibration.{name}.samples"] = Size(declared=declared.samples, used=used)
        calibration[name] = declared.model_copy(update={"samples": used})
    claims, in_part = [], {}
    for claim in spec.claims:
        lost = tuple(metric for metric in sorted(_metrics(claim)) if any(gives(entry, metric) for entry in gone))
        if not lost:
            claims.append(claim)
        elif (rest := _without(claim, lost)) is not None:
            claims.append(rest)
            in_part[claim.id] = lost
        else:
            left_out[claim.id] = f"it rests on {', '.join(lost)}"
    changed = {"evaluations": evaluations, "calibration": calibration, "claims": tuple(claims)}
    return spec.model_copy(update=changed), Adaptation(sizes=sizes, left_out=left_out, in_part=in_part)


def without_left_out(golden: GoldenFile | None, spec: BenchmarkSpec, adaptation: Adaptation) -> GoldenFile | None:
    """Golden values but for those of what is left out. spec: as its file has it."""
    if golden is None or not adaptation.left_out:
        return golden
    gone = [entry for entry in spec.evaluations if entry.name in adaptation.left_out]
    values = tuple(value for value in golden.values if not any(gives(entry, value.metric) for entry in gone))
    claims = {name: outcome for name, outcome in golden.claims.items() if name not in adaptation.left_out}
    return golden.model_copy(update={"values": values, "claims": claims})


def gives(entry: DeclaredEvaluation, metric: str) -> bool:
    """Whether a metric is one of an evaluation's."""
    prefixes = tuple(entry.metric_prefixes)
    return metric in entry.metrics or bool(prefixes and metric.startswith(prefixes))


def _sized(entry: DeclaredEvaluation, variant: ModelVariant, sizes: dict[str, Size]) -> DeclaredEvaluation:
    changes = {}
    for key, largest in entry.sizes_within(variant.sizes).items():
        declared = getattr(entry, key)
        if largest is not None and (declared is None or largest < declared):
            changes[key] = largest
            sizes[f"evaluations.{entry.name}.{key}"] = Size(declared=declared, used=largest)
    return entry.model_copy(update=changes) if changes else entry


def _metrics(claim: Claim) -> Iterator[str]:
    """Every metric that a claim compares."""
    for condition in claim.conditions:
        yield condition.metric
        if isinstance(condition.bound, Reference) and condition.bound.metric is not None:
            yield condition.bound.metric


def _without(claim: Claim, lost: Collection[str]) -> Claim | None:
    """The claim without conditions on some metrics, which its words then say; None where none is left."""
    conditions = tuple(
        condition
        for condition in claim.conditions
        if condition.metric not in lost
        and not (isinstance(condition.bound, Reference) and condition.bound.metric in lost)
    )
    if not conditions:
        return None
    says = f"{claim.says} (Judged without {', '.join(lost)}: not measured here.)"
    return claim.model_copy(update={"conditions": conditions, "says": says})
