"""Names in variants and specs that lead nowhere, told before anything is loaded: what `run` refuses, `validate` does.

Methods, regions, evaluations, layouts, cells and metrics are looked up when a spec is read. What is looked up here
depends on the machine and on other files: engines, templates, organisms, folders, data sets, tasks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness import plugins
from harness.data.cache import read_lock
from harness.data.lm_eval_tasks import task_names
from harness.data.sources import SOURCES
from harness.errors import UserError
from harness.models.templates import TEMPLATES
from harness.organisms.catalogue import organism_directory, organism_names
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.common import KeyPath
from harness.spec.loading import load_yaml_model, located
from harness.spec.pinned import pinned_data
from harness.spec.region import sources_of
from harness.spec.validation import LookUp, model_of
from harness.spec.variant import ModelVariant

#: A key, and what is wrong with the name that stands there.
Problem = tuple[KeyPath, str]


def look_up(beside: Sequence[Path]) -> LookUp:
    """What tells of a file that was read which of its names lead nowhere, each with file, line and key.

    beside: files given with it, whose variants count as well. Of others than variants and specs it looks up nothing.
    """
    known = cache(lambda: {name for variant in variants_here(beside) for name in variant.datasets})

    def lead_nowhere(path: Path, loaded: object) -> list[str]:
        problems: list[Problem] = []
        if isinstance(loaded, ModelVariant):
            problems = [*unknown_names(loaded), *_files_that_are_not_there(loaded, path)]
        elif isinstance(loaded, BenchmarkSpec):
            problems = list(_unknown_datasets(loaded, known()))
        return located(path, problems)

    return lead_nowhere


def unknown_names(variant: ModelVariant) -> Iterator[Problem]:
    """Names of a variant that nothing has: its engine, chat template, organism, sources of data and tasks."""
    gguf = variant.source.gguf
    known: list[tuple[KeyPath, str, str | None, Sequence[str]]] = [
        (("engine",), "engine", variant.engine.replace("-", "_"), plugins.names("engines")),
        (("chat_template",), "template", variant.chat_template, ["tokenizer", *TEMPLATES]),
        (("source", "organism"), "organism", variant.source.organism, organism_names()),
        (("source", "recipe"), "recipe", variant.source.recipe, [path.stem for path in locations.recipe_paths()]),
        (("source", "gguf", "pinned"), "pinned file", gguf.pinned if gguf else None, [*pinned_data().files]),
        *(
            (("datasets", name, "source"), "source of data", each.source, [*SOURCES])
            for name, each in variant.datasets.items()
        ),
    ]
    for key, what, name, there_are in known:
        if name is not None and name not in there_are:
            yield key, f"no {what} is called {name!r}; {plugins.suggestion(name, there_are)}"
    for number, task in enumerate(variant.zero_shot_tasks):
        if (words := _no_task(task, variant)) is not None:
            yield ("zero_shot_tasks", number), words


def _no_task(name: str, variant: ModelVariant) -> str | None:
    """Why a task is neither the variant's own, nor pinned, nor fetched, nor lm-eval's; None for one that is."""
    if name in variant.datasets or name in pinned_data().tasks or name in read_lock().tasks:
        return None
    if name in task_names():
        return None
    near = plugins.suggestion(name, [*variant.datasets, *pinned_data().tasks])
    return f"neither the variant's datasets nor lm-eval have a task {name!r}; {near}"


def _files_that_are_not_there(variant: ModelVariant, variant_file: Path) -> Iterator[Problem]:
    """Paths of a variant that lead to no file or folder. What is fetched or made is looked for when it is used."""
    source, base = variant.source, variant_file.parent
    if source.path is not None and not (base / source.path / "config.json").is_file():
        folder = Path(os.path.normpath(base / source.path))
        yield ("source", "path"), f"{folder}: no checkpoint is here; expected a folder with config.json and weights"
    if source.gguf is not None and source.gguf.path is not None and not (base / source.gguf.path).is_file():
        path = Path(os.path.normpath(base / source.gguf.path))
        yield ("source", "gguf", "path"), f"{path}: no such file; expected a GGUF file"
    if source.organism is not None:
        if source.organism not in organism_names():
            return  # nothing beside it can be looked for
        base = organism_directory(source.organism)
    for name, declared in variant.datasets.items():
        if declared.path is not None and not (base / declared.path).is_file():
            place = Path(os.path.normpath(base / declared.path))
            yield ("datasets", name, "path"), f"{place}: no such file; expected the data set {name!r}"


def _unknown_datasets(spec: BenchmarkSpec, known: Collection[str]) -> Iterator[Problem]:
    """Data sets that no variant of the catalogues, or among the files given, has."""
    content = spec.model_dump(mode="json")
    told = set()
    for place, name in _named_datasets(spec):
        if name not in known and (place, name) not in told:
            told.add((place, name))
            near = plugins.suggestion(name, known)
            words = f"no variant here has a data set {name!r} (give the file of one elsewhere as well); {near}"
            yield _place_of(content, place, name), words


def _named_datasets(spec: BenchmarkSpec) -> Iterator[tuple[KeyPath, str]]:
    """(the entry of the spec, a data set that it names)."""
    for name, declared in spec.calibration.items():
        yield ("calibration", name), declared.dataset
    for index, evaluation in enumerate(spec.evaluations):
        probes = [*evaluation.probes, *(region.probe for region in sources_of(evaluation.regions))]
        for dataset in [*evaluation.datasets, *(name for probe in probes if probe for name in probe.datasets)]:
            yield ("evaluations", index), dataset
    for index, group in enumerate(spec.cells):
        for cell in group.cells():
            if cell.fine_tuning is not None:
                yield ("cells", index), cell.fine_tuning.dataset
            probes = [region.probe for region in sources_of(cell.regions)]
            yield from ((("cells", index), name) for probe in probes if probe for name in probe.datasets)


def variants_here(beside: Sequence[Path]) -> Iterator[ModelVariant]:
    """Those of the catalogues and among `beside` that can be read; of the others it is told where they are checked."""
    for path in dict.fromkeys([*locations.variant_paths(), *beside]):
        try:
            if model_of(path) is ModelVariant:
                yield load_yaml_model(path, ModelVariant)
        except UserError:
            continue


def _place_of(content: Any, place: KeyPath, name: str) -> KeyPath:
    """The key below `place` at which the name stands; the place itself where it is a default."""
    for part in place:
        content = content[part]
    found = next((key for key, value in _leaves(content) if value == name), ())
    return (*place, *found)


def _leaves(content: Any) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(content, dict | list):
        for part, inner in content.items() if isinstance(content, dict) else enumerate(content):
            yield from (((part, *key), value) for key, value in _leaves(inner))
    else:
        yield (), content
