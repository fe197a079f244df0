"""Which data cells and evaluations need, and whether the files hold as much as is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.calibration.files import read_lines
from harness.calibration.pairs import draw, read_pairs
from harness.errors import UserError
from harness.models.prompts import template_of_another_family
from harness.probing.probe import read_requests
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.evaluation import DeclaredTexts
from harness.spec.probing import ProbeSettings
from harness.spec.region import sources_of
from harness.spec.variant import ModelVariant

#: Who asks, which datasets, and a check of their content that raises UserError.
Check = tuple[str, list[str], Callable[[], Any]]


def needed_datasets(spec: BenchmarkSpec, variant: ModelVariant, cells: Sequence[Cell]) -> set[str]:
    """Names of the datasets that these cells and the spec's evaluations rest on."""
    names = {spec.calibration[name].dataset for name in _calibration_sets(spec, cells)}
    names |= {cell.fine_tuning.dataset for cell in cells if cell.fine_tuning}
    names |= {dataset for evaluation in spec.evaluations for dataset in evaluation.datasets}
    names |= {dataset for _, probe in probes(spec, cells) for dataset in probe.datasets}
    return names | {task for task in variant.zero_shot_tasks if task in variant.datasets}


def data_problems(
    spec: BenchmarkSpec, variant: ModelVariant, cells: Sequence[Cell], paths: dict[str, Path]
) -> list[str]:
    """What the files hold too little of, each with who asks for it.

    paths: files by dataset; those that are missing from it are reported elsewhere.
    """
    problems: dict[str, None] = {}
    for who, datasets, check in _checks(spec, variant, cells, paths):
        if paths.keys() >= set(datasets):
            try:
                check()
            except UserError as error:
                problems[f"{who}: {error}"] = None
    return list(problems)


def _checks(
    spec: BenchmarkSpec, variant: ModelVariant, cells: Sequence[Cell], paths: dict[str, Path]
) -> Iterator[Check]:
    for name in _calibration_sets(spec, cells):
        declared = spec.calibration[name]
        yield (
            f"calibration set {name}",
            [declared.dataset],
            _fit_pairs(declared.dataset, declared.samples, paths, variant, declared.skip),
        )
    for dataset, examples in _most_examples(variant, cells).items():
        yield f"fine-tuning on {dataset}", [dataset], _fit_pairs(dataset, examples, paths, variant)
    for evaluation in spec.evaluations:
        asked = {evaluation.dataset: evaluation.prompts} if isinstance(evaluation, DeclaredTexts) else {}
        for dataset, lines in {**asked, **evaluation.lines_needed}.items():
            yield f"evaluation {evaluation.name}", [dataset], _enough_requests(dataset, lines, paths)
    for who, probe in probes(spec, cells):
        yield who, probe.datasets, partial(read_requests, probe, paths.__getitem__)


def _fit_pairs(
    dataset: str, samples: int, paths: dict[str, Path], variant: ModelVariant, skip: int = 0
) -> Callable[[], Any]:
    """Enough pairs, and none whose prompt is wrapped for another family: its scores would be of other prompts."""

    def check() -> None:
        pairs = read_pairs(paths[dataset])
        draw(pairs, samples, seed=0, skip=skip)
        for number, pair in enumerate(pairs, start=1):
            other = template_of_another_family(pair.prompt, variant.chat_template)
            if other is not None:
                raise UserError(
                    f"the prompt of pair {number} in {dataset!r} is wrapped in the template {other!r}, "
                    f"expected {variant.chat_template!r}, that of the variant"
                )

    return check


def _enough_requests(dataset: str, prompts: int, paths: dict[str, Path]) -> Callable[[], Any]:
    def check() -> None:
        held = len(read_lines(paths[dataset]))
        if held < prompts:
            raise UserError(f"the dataset {dataset!r} holds {held} requests, {prompts} are asked for")

    return check


def _calibration_sets(spec: BenchmarkSpec, cells: Sequence[Cell]) -> list[str]:
    regions = {name for cell in cells for region in cell.regions for name in region.calibration_sets}
    return sorted(regions | set(spec.calibration_sets_of_evaluations))


def _most_examples(variant: ModelVariant, cells: Sequence[Cell]) -> dict[str, int]:
    """For each dataset that cells are fine-tuned on, the largest number of pairs that one takes on this variant."""
    most: dict[str, int] = {}
    for cell in cells:
        if cell.fine_tuning is not None:
            settings = variant.scaled(cell.fine_tuning)
            most[settings.dataset] = max(settings.examples, most.get(settings.dataset, 0))
    return most


def probes(spec: BenchmarkSpec, cells: Sequence[Cell]) -> Iterator[tuple[str, ProbeSettings]]:
    """Every probe of attention heads: evaluations, and regions of cells (once for a group) and of evaluations."""
    for evaluation in spec.evaluations:
        for probe in (*evaluation.probes, *(region.probe for region in sources_of(evaluation.regions))):
            if probe is not None:
                yield f"evaluation {evaluation.name}", probe
    for cell in cells:
        for region in sources_of(cell.regions):
            if region.probe is not None:
                yield f"cells {cell.group}", region.probe
