"""Bind a spec to a variant and validate everything, before any weight is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import plugins
from harness.calibration.files import dataset_path, file_sha256, task_data_files
from harness.errors import UserError
from harness.evaluations import base as evaluations
from harness.fetching.tasks import task_problem
from harness.models.loading import source_directory
from harness.regions import base as regions
from harness.runs.adapting import adapted_to, changed, too_small
from harness.runs.data_checks import data_problems, needed_datasets
from harness.runs.names import unknown_names
from harness.runs.used_plugins import require_plugins
from harness.spec import locations
from harness.spec.adapting import Adaptation, without_left_out
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.coverage import why_skipped
from harness.spec.golden import GoldenFile
from harness.spec.loading import dotted, load_yaml_model
from harness.spec.variant import ModelVariant
from harness.verification.plain_files import check_read

#: The planted region's name among the hashes of a run's data.
PLANTED = "planted-region"


@dataclass(frozen=True)
class BoundBenchmark:
    """A spec on a variant with every file found and every hash checked.

    skipped: cells that this variant cannot have, each with the reason.
    adaptation: what the variant changed of the spec, if anything. declared: the spec before that, as its file has it.
    data_sha256: by dataset name; the items of a zero-shot task are under `<task>/<split>`.
    """

    spec: BenchmarkSpec
    variant: ModelVariant
    variant_file: Path
    cells: tuple[Cell, ...]
    skipped: dict[str, str]
    data_sha256: dict[str, str]
    planted_path: Path | None
    golden: GoldenFile | None
    adaptation: Adaptation | None = None
    declared: BenchmarkSpec | None = None

    def path_of(self, dataset: str) -> Path:
        """The file behind a dataset name."""
        return dataset_path(self.variant, self.variant_file, dataset)


def bind(spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path) -> BoundBenchmark:
    """Raises one UserError that names everything that is missing or wrong. The spec is adapted to the variant first."""
    declared = spec
    spec, adaptation = adapted_to(declared, variant, variant_file)
    problems = too_small(declared, spec, variant, variant_file)
    cells, skipped = _runnable(spec, variant, problems)
    paths: dict[str, Path] = {}
    for name in sorted(needed_datasets(spec, variant, cells)):
        path = _tried(problems, partial(dataset_path, variant, variant_file, name))
        if path is not None:
            paths[name] = path
    hashes = {name: file_sha256(path) for name, path in paths.items()}
    for task in [name for name in variant.zero_shot_tasks if name in paths]:
        files = _tried(problems, partial(task_data_files, paths[task])) or {}
        hashes |= {f"{task}/{split}": file_sha256(file) for split, file in files.items()}
    problems += data_problems(spec, variant, cells, paths)
    _tried(problems, lambda: require_plugins(spec))
    unknown = dict(unknown_names(variant))
    problems += [f"{variant_file}: {dotted(key)}: {words}" for key, words in unknown.items()]
    engine = None if ("engine",) in unknown else _tried(problems, lambda: plugins.load("engines", variant.engine))
    problems += engine.problems(variant) if engine else []
    if _asks_tasks(spec) and not variant.zero_shot_tasks:
        problems.append(f"{variant_file}: zero_shot_tasks is empty, but {spec.id} asks the tasks of the variant")
    fetched = [
        task
        for task in _tasks_elsewhere(spec, variant)
        if ("zero_shot_tasks", variant.zero_shot_tasks.index(task)) not in unknown
    ]
    problems += filter(None, (task_problem(task, variant, variant_file) for task in fetched))
    problems += [*_problems_of_evaluations(spec, variant), *_problems_of_checkpoints(spec, variant, cells)]
    if not cells:
        reasons = "; ".join(f"{cell}: {reason}" for cell, reason in skipped.items())
        problems.append(f"the variant {variant.name} skips every cell of {spec.id}, so nothing is measured: {reasons}")
    planted = _planted(variant, variant_file, problems)
    if planted is not None:
        hashes[PLANTED] = file_sha256(planted)
    golden = _tried(problems, lambda: load_golden(variant.name, spec.id))
    golden = without_left_out(golden, declared, adaptation)
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return BoundBenchmark(
        spec, variant, variant_file, tuple(cells), skipped, hashes, planted, golden, changed(adaptation), declared
    )


def read_data_of_evaluations(bound: BoundBenchmark) -> None:
    """Have evaluations read their data. Raises one UserError for all that cannot be read or have changed."""
    problems: list[str] = []
    for settings in bound.spec.evaluations:
        _tried(problems, partial(evaluations.evaluation(settings).read_data, bound.variant, bound.path_of))
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))


def _tasks_elsewhere(spec: BenchmarkSpec, variant: ModelVariant) -> list[str]:
    """Tasks that the spec asks and that have no file among the variant's data sets."""
    return [task for task in variant.zero_shot_tasks if _asks_tasks(spec) and task not in variant.datasets]


def _asks_tasks(spec: BenchmarkSpec) -> bool:
    return any(evaluation.asks_tasks for evaluation in spec.evaluations)


def load_golden(variant: str, benchmark: str) -> GoldenFile | None:
    """The golden values of a benchmark on a variant, or None if there are none yet.

    Raises UserError for a file that lies in another place than its own `variant` and `benchmark` say.
    """
    path = locations.golden_path(variant, benchmark)
    if not path.is_file():
        return None
    golden = load_yaml_model(path, GoldenFile)
    check_read(path, golden)
    for key, wanted in (("variant", variant), ("benchmark", benchmark)):
        if getattr(golden, key) != wanted:
            raise UserError(
                f"{path}: {key} is {getattr(golden, key)!r}; expected {wanted!r}, as its place says: "
                "move the file, or correct the key if the values are of this place"
            )
    return golden


def _runnable(spec: BenchmarkSpec, variant: ModelVariant, problems: list[str]) -> tuple[list[Cell], dict[str, str]]:
    cells: list[Cell] = []
    skipped: dict[str, str] = {}
    for cell in spec.expanded_cells():
        if (reason := why_skipped(cell, variant)) is not None:
            skipped[cell.id] = reason
            continue
        for region in map(regions.region, cell.regions):
            problems += [f"cell {cell.id}: {problem}" for problem in region.problems(variant)]
        cells.append(cell)
    return cells, skipped


def _planted(variant: ModelVariant, variant_file: Path, problems: list[str]) -> Path | None:
    """The file of the planted region, if the variant names one and it is there."""
    directory = _tried(problems, lambda: source_directory(variant, variant_file))
    if variant.planted_region is None:
        return None
    planted = (directory or variant_file.parent) / variant.planted_region
    if planted.is_file():
        return planted
    problems.append(f"{planted}: no such file; {variant_file} names it as the planted region")
    return None


def _problems_of_evaluations(spec: BenchmarkSpec, variant: ModelVariant) -> Iterator[str]:
    """Regions that evaluations look at and that cannot be found on this variant."""
    for evaluation in spec.evaluations:
        for region in map(regions.region, evaluation.regions):
            yield from (f"evaluation {evaluation.name}: {problem}" for problem in region.problems(variant))
            scored_by = region.measure.method if region.measure else None
            if evaluation.compares_with_intact and scored_by is not None and not scored_by.uses_model:
                yield (
                    f"evaluation {evaluation.name}: the method {scored_by.name} looks at no model, so that before and "
                    "after are one; compare regions of another method"
                )


def _problems_of_checkpoints(spec: BenchmarkSpec, variant: ModelVariant, cells: Sequence[Cell]) -> Iterator[str]:
    """Evaluations of checkpoints, whose metrics are numbered, where a fine-tuning saves another number of them."""
    scaled = {cell.id: variant.scaled(cell.fine_tuning) for cell in cells if cell.fine_tuning}
    saving = {cell: settings for cell, settings in scaled.items() if settings.checkpoint_every is not None}
    for evaluation in spec.evaluations:
        wanted = evaluation.checkpoints_needed
        if wanted is not None and not saving:
            yield f"evaluation {evaluation.name}: no cell saves checkpoints; give fine_tuning.checkpoint_every"
        for cell, settings in saving.items() if wanted is not None else ():
            found = len(settings.checkpoint_steps)
            if settings.steps and found != wanted:
                yield (
                    f"cell {cell}: {settings.steps} steps with a checkpoint every {settings.checkpoint_every} give "
                    f"{found} checkpoints, but the evaluation {evaluation.name} expects {wanted}; set "
                    "checkpoint_every, in the spec or under `fine_tuning` of the variant"
                )


def _tried(problems: list[str], attempt: Callable[[], Any]) -> Any:
    try:
        return attempt()
    except UserError as error:
        problems.append(str(error))
        return None
