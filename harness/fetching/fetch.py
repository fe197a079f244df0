"""`harness data`: what of a variant's data is there, getting what is missing, and taking in what the user supplies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import plugins
from harness.calibration.files import dataset_path, read_lines
from harness.data.cache import data_folder, file_sha256, store, store_instead
from harness.data.sources import gguf_sha256, items_place, pinned_place, place_of, source_file, source_of
from harness.data.weights import made_folder, recipe_sha256, weights_problem
from harness.errors import UserError
from harness.fetching.downloads import Copies, whole_pinned
from harness.fetching.recipes import RECIPES, wrapping_of
from harness.fetching.task_recipes import task_file
from harness.fetching.tasks import fetch_task, task_problem
from harness.fetching.weights import fetch_weights
from harness.spec import alignment
from harness.spec.variant import ModelVariant
from harness.storage import seen

#: What the weights are called beside data sets, where they are fetched.
WEIGHTS = "weights"
#: Told before each data set, with the share of the work that is done.
ReportProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class DataFile:
    """A data set of a variant. problem: why it cannot be used as it is, with the next step, or None."""

    name: str
    origin: str
    path: str | None
    sha256: str | None
    problem: str | None

    @property
    def state(self) -> Literal["ready", "missing"]:
        """In one word."""
        return "missing" if self.problem else "ready"


def list_data(variant: ModelVariant, variant_file: Path) -> list[DataFile]:
    """Every data set and zero-shot task of a variant, each checked. Reaches nothing outside this machine."""
    return [_described(variant, variant_file, name) for name in _names(variant)]


def fetch_data(
    variant: ModelVariant,
    variant_file: Path,
    only: Sequence[str],
    report_progress: ReportProgress,
    copies: Copies | None = None,
) -> list[DataFile]:
    """Bring what is missing or damaged and can be had; what is there and whole stays.

    only: names of data sets and tasks; none means all. copies: files on this machine, taken by their hash.
    Files of the user's and of the model's are not touched.
    Raises UserError for a name that is none, and with every file that could not be had.
    """
    names = _names(variant)
    for name in only:
        if name not in names:
            raise UserError(f"{variant.name} has no data set or task {name!r}; {plugins.suggestion(name, names)}")
    chosen = list(only) or names
    problems: dict[str, list[str]] = {}  # several data sets may be made of one file that cannot be had
    for done, name in enumerate(chosen):
        report_progress(name, done / len(chosen))
        try:
            _fetch(variant, variant_file, name, copies or {})
        except UserError as error:
            problems.setdefault(str(error), []).append(name)
    if problems:
        raise UserError("\n".join(f"{', '.join(affected)}: {words}" for words, affected in problems.items()))
    return [_described(variant, variant_file, name) for name in chosen]


def supply(variant: ModelVariant, variant_file: Path, dataset: str, file: Path) -> DataFile:
    """Take a copy of a file of the user's, one entry a line, and record its hash.

    Raises UserError for a data set that is not the user's, for a file without lines, and where another command has
    supplied one meanwhile.
    """
    declared = variant.datasets.get(dataset)
    own = [name for name, each in variant.datasets.items() if each.source == "supplied"]
    if declared is None or declared.source != "supplied":
        raise UserError(f"{variant.name} takes no file of yours as {dataset!r}; {plugins.suggestion(dataset, own)}")
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    place = place_of(variant, variant_file, dataset)
    before = seen(data_folder() / place)
    read_lines(file)
    store_instead(before, place, file.read_bytes())
    return _described(variant, variant_file, dataset)


def _names(variant: ModelVariant) -> list[str]:
    """Weights that are made here, data sets and tasks; a task with a file of its own is among the data sets."""
    weights = [WEIGHTS] if made_folder(variant.source) is not None else []
    return [*weights, *variant.datasets, *(task for task in variant.zero_shot_tasks if task not in variant.datasets)]


def _fetch(variant: ModelVariant, variant_file: Path, name: str, copies: Copies) -> None:
    if name == WEIGHTS:
        fetch_weights(variant, variant_file, copies)
        return
    if name not in variant.datasets:
        fetch_task(name)
        return
    if variant.datasets[name].source is None:
        return
    source = source_of(variant.datasets[name])
    if source.of is None or _is_whole(variant, variant_file, name):
        return
    pinned = whole_pinned(source.of, copies)
    place = place_of(variant, variant_file, name)
    if place == pinned_place(source.of):
        return
    raw, declared = data_folder() / pinned_place(source.of), variant.datasets[name].source or ""
    made = RECIPES[declared](raw, wrapping_of(variant, variant_file, name)).encode()
    if source.kind == "task":
        store(items_place(place), made, of=pinned.sha256, recipe=source.recipe)
        made = task_file(declared, Path(items_place(place)).name).encode()
    store(place, made, of=pinned.sha256, recipe=source.recipe)


def _is_whole(variant: ModelVariant, variant_file: Path, name: str) -> bool:
    try:
        source_file(variant, variant_file, name)
    except UserError:
        return False
    return True


def _described(variant: ModelVariant, variant_file: Path, name: str) -> DataFile:
    if name == WEIGHTS:
        return _described_weights(variant)
    if name not in variant.datasets:
        return DataFile(name, "lm-eval", None, None, task_problem(name, variant, variant_file))
    declared = variant.datasets[name]
    origin = declared.source or declared.path or ""
    try:
        path = dataset_path(variant, variant_file, name)
    except UserError as error:
        return DataFile(name, origin, None, None, str(error))
    return DataFile(name, origin, str(path), file_sha256(path), None)


def _described_weights(variant: ModelVariant) -> DataFile:
    """Weights that are made here; their hash is that of what they are made of."""
    gguf, recipe, problem = variant.source.gguf, variant.source.recipe, weights_problem(variant)
    of = gguf_sha256(gguf) if gguf else recipe_sha256(alignment.recipe(recipe or ""))
    origin = (gguf.pinned or gguf.path if gguf else recipe) or ""
    return DataFile(WEIGHTS, origin, str(made_folder(variant.source)), of, problem)
