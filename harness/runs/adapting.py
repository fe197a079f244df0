"""A benchmark in a variant's sizes and without what it has no data for; sizes below what claims need are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.calibration.files import dataset_path
from harness.errors import UserError
from harness.formulas.statistics import wilson_interval
from harness.spec.adapting import Adaptation, adapted, gives, optional_data
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.claim import Condition, Reference
from harness.spec.evaluation import DeclaredTexts
from harness.spec.loading import located
from harness.spec.variant import ModelVariant

#: So many of a thing decide every claim that any number decides.
_PLENTY = 10_000


def adapted_to(spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path) -> tuple[BenchmarkSpec, Adaptation]:
    """The spec as the variant measures it on this machine, and what is changed of it."""
    lacking = [name for name in optional_data(variant) if not _is_there(variant, variant_file, name)]
    return adapted(spec, variant, lacking)


def changed(adaptation: Adaptation) -> Adaptation | None:
    """None where nothing is."""
    return adaptation if adaptation != Adaptation() else None


def too_small(declared: BenchmarkSpec, spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path) -> list[str]:
    """Sizes with which a claim could not be decided, whatever is found, each with file and key.

    declared: the spec as its file has it: what that leaves undecided is not the variant's.
    """
    full = {entry.name: entry for entry in declared.evaluations}
    most: dict[str, tuple[int, str]] = {}  # of each key, what the claim that needs most of it needs
    for entry in spec.evaluations:
        for key, count, whole in _counts(entry, full[entry.name], variant):
            for claim in spec.claims if count < whole else ():
                needed = max((_needed(each) for each in claim.conditions if gives(entry, each.metric)), default=1)
                if count < needed <= whole and needed > most.get(key, (0, ""))[0]:
                    words = f"{count} gives {spec.id} too little to decide the claim {claim.id}; expected {needed}"
                    most[key] = needed, f"{words} at least"
    return located(variant_file, [(("sizes", key), words) for key, (_, words) in most.items()])


def _counts(entry: object, whole: object, variant: ModelVariant) -> Iterator[tuple[str, int, int]]:
    """(key of the variant's sizes, how many units figures are of, how many by the spec's own file)."""
    if isinstance(entry, DeclaredTexts) and isinstance(whole, DeclaredTexts):
        yield "prompts", entry.prompts, whole.prompts
    limits = getattr(entry, "limit", None), getattr(whole, "limit", None)
    if limits[0] is not None:
        tasks = len(variant.zero_shot_tasks)
        yield "items", limits[0] * tasks, (limits[1] or _PLENTY) * tasks


def _needed(condition: Condition) -> int:
    """The smallest number of units with which a share of all, and one of none, are clear of a bound.

    1 for a bound that is another figure, and for one that no number decides.
    """
    bound = condition.bound
    if isinstance(bound, Reference) or not 0.0 < bound < 1.0:
        return 1
    return next((n for n in range(1, _PLENTY) if _decides(n, bound)), 1)


def _decides(n: int, bound: float) -> bool:
    return wilson_interval(1.0, n)[0] >= bound and wilson_interval(0.0, n)[1] <= bound


def _is_there(variant: ModelVariant, variant_file: Path, name: str) -> bool:
    try:
        dataset_path(variant, variant_file, name)
    except UserError:
        return False
    return True
