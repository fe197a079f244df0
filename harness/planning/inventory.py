"""What is on this machine already: config, weights, tokenizer, data, finished cells. Nothing is loaded or fetched."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import try_to_load_from_cache

from harness.calibration.files import dataset_path
from harness.data.sources import tokenizer_variant
from harness.errors import UserError
from harness.formulas.memory import LlamaShape
from harness.models.config_sizes import unfit_sizes
from harness.models.loading import source_directory
from harness.models.placement import shape_from_config
from harness.reading import read_json
from harness.runs.data_checks import needed_datasets
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.variant import ModelVariant

_SHAPES = Path(__file__).parent / "shapes.yaml"
_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"


@dataclass(frozen=True)
class Sizes:
    """A model's shape, and where it was read."""

    shape: LlamaShape
    source: str


def model_sizes(variant: ModelVariant, variant_file: Path) -> Sizes:
    """From config.json of the directory or the cache, or else from the package's table. Raises UserError if neither."""
    path = cached_file(*tokenizer_variant(variant, variant_file), "config.json")  # there before weights are built
    if path is not None:
        config = read_json(path)
        try:
            if problems := unfit_sizes(config):
                raise UserError("\n".join(f"{path}: {problem}" for problem in problems))
            return Sizes(shape_from_config(config), "config.json")
        except (ValueError, KeyError, TypeError, ZeroDivisionError, AttributeError) as error:
            raise UserError(f"{path}: not the config.json of a Llama: {error!r} is missing or wrong") from None
    known = yaml.safe_load(_SHAPES.read_text(encoding="utf-8"))
    repository = variant.source.repository
    if repository not in known:
        where = repository or source_directory(variant, variant_file)
        raise UserError(
            f"{where}: no config.json here, and the sizes of this model are not in the package's table; "
            + (
                f"fetch it with: hf download {repository} config.json --revision {variant.source.revision}"
                if repository
                else f"correct `source` in {variant_file}"
            )
        )
    return Sizes(shape_from_config(known[repository]), "the package's table")


def free_bytes(folder: Path) -> int:
    """On the disk of a folder that need not be there yet."""
    return shutil.disk_usage(
        next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    ).free


def cached_file(variant: ModelVariant, variant_file: Path, name: str) -> Path | None:
    """A file of the variant's checkpoint on this machine, at the pinned revision; None where it is not here."""
    directory = source_directory(variant, variant_file)
    if directory is not None:
        return directory / name if (directory / name).is_file() else None
    found = try_to_load_from_cache(str(variant.source.repository), name, revision=variant.source.revision)
    return Path(found) if isinstance(found, str) else None


def missing_weights(variant: ModelVariant, variant_file: Path) -> list[str]:
    """Names of the weight files that are not here; empty where all are."""
    directory = source_directory(variant, variant_file)
    index = cached_file(variant, variant_file, _INDEX)
    if index is not None:
        names = _named_in(index)
        return [name for name in names if cached_file(variant, variant_file, name) is None]
    if directory is not None and any(directory.glob("*.safetensors")):
        return []
    return [] if cached_file(variant, variant_file, _SINGLE) is not None else [_SINGLE]


def _named_in(index: Path) -> list[str]:
    """The weight files that an index names. Raises UserError for one that names none."""
    content = read_json(index)
    files = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(name, str) and name for name in files.values()):
        raise UserError(f"{index}: not the index of weights: expected weight_map, a file's name by each tensor's")
    return sorted(set(files.values()))


def how_to_get_weights(variant: ModelVariant, variant_file: Path) -> str:
    """The next step where weights are missing."""
    source = variant.source
    if source.gguf is not None:
        return f"make the checkpoint of the GGUF file: harness data fetch --model {variant.name} --only weights"
    if source.recipe is not None:
        return f"build them, once: harness organism build {source.recipe}"
    if source.repository is None:
        return f"put the checkpoint into {source_directory(variant, variant_file)}, or correct `source`"
    return (
        f"hf download {source.repository} --revision {source.revision} --include '*.safetensors' '*.json'; where "
        f"https://huggingface.co/{source.repository} asks for it, accept the licence there and log in first (hf auth "
        "login)"
    )


def data_state(
    spec: BenchmarkSpec, variant: ModelVariant, variant_file: Path, cells: Sequence[Cell]
) -> tuple[dict[str, Path], dict[str, str]]:
    """(files by dataset, what is missing or wrong by dataset) of what these cells and evaluations need."""
    present, missing = {}, {}
    for name in sorted(needed_datasets(spec, variant, cells)):
        try:
            present[name] = dataset_path(variant, variant_file, name)
        except UserError as error:
            missing[name] = str(error)
    return present, missing
