"""Make an organism again and write the variant file that lets every benchmark run on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydantic import BaseModel, Field

from harness.errors import UserError
from harness.fetching.downloads import copies_in
from harness.organisms.build import MANIFEST, build_organism
from harness.organisms.catalogue import organism_directory, organism_names
from harness.runs.alignment_build import build_aligned, in_words
from harness.runs.files import folder_error, write_text
from harness.spec import locations
from harness.spec.json_text import load_json_model
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelSource, ModelVariant
from harness.storage import whole_folder


class _Built(BaseModel):
    """What is read of an organism's manifest. files: {path in the folder: SHA-256}."""

    seed: int = Field(ge=0)
    files: dict[str, str]


def build(
    name: str,
    out: Path | None,
    seed: int | None,
    report_progress: Callable[[str, float], None],
    copies: Path | None = None,
) -> tuple[Path, list[str]]:
    """Build an organism into an empty folder, or an aligned model. Returns the folder, and what was measured in words.

    out: None is for an aligned model alone, and takes the data cache. seed: None takes the shipped one's.
    copies: a folder with files that were downloaded before.
    """
    if (aligned := _aligned_variant(name)) is not None:
        found = {} if copies is None else copies_in(copies)
        folder, report = build_aligned(*aligned, out, seed, report_progress, found)
        return folder, in_words(report)
    shipped = _manifest(organism_directory(name))
    if out is None:
        raise UserError(f"{name} is an organism that ships; expected a folder for another build of it: --out DIR")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already and is not empty")
    chosen = shipped.seed if seed is None else seed
    shipped_variant = load_yaml_model(locations.find_variant(name), ModelVariant)
    with _appearing(out) as folder:
        build_organism(name, folder, chosen, report_progress)
        write_text(folder / "variant.yaml", rebuilt_variant(shipped_variant, chosen, _manifest(folder).files))
    return out, []


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder that takes its place whole. Raises UserError where another build has come before."""
    try:
        with whole_folder(out) as folder:
            yield folder
    except OSError as error:
        raise folder_error(error, out) from None


def _aligned_variant(name: str) -> tuple[ModelVariant, Path] | None:
    """The variant of that name whose weights a recipe makes, and its file; None where there is none."""
    path = next((path for path in locations.variant_paths() if path.stem == name), None)
    variant = None if path is None or name in organism_names() else load_yaml_model(path, ModelVariant)
    return None if path is None or variant is None or variant.source.recipe is None else (variant, path)


def _manifest(folder: Path) -> _Built:
    return load_json_model(folder / MANIFEST, _Built, "the manifest of an organism")


def rebuilt_variant(shipped: ModelVariant, seed: int, files: dict[str, str]) -> str:
    """The shipped variant's YAML for a rebuilt folder: same datasets, their own hashes, a name of its own.

    files: {path in the folder: SHA-256}.
    """
    datasets = {
        name: file if file.path is None else DatasetFile(path=file.path, sha256=files[file.path])
        for name, file in shipped.datasets.items()
    }
    variant = shipped.model_copy(
        update={
            "name": f"{shipped.name}-seed{seed}",
            "title": f"{shipped.title}, rebuilt with seed {seed}",
            "source": ModelSource(path="."),
            "datasets": datasets,
        }
    )
    return yaml.safe_dump(variant.model_dump(mode="json", exclude_none=True), sort_keys=False, width=120)
