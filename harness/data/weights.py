"""Weights that are made of a pinned file once, and where in the cache they are."""

from __future__ import annotations

from pathlib import Path

from harness.data.cache import data_folder
from harness.data.sources import pinned_file, pinned_place
from harness.spec.variant import GGUFSource, ModelVariant

#: Raised where conversion gives other files.
CONVERSION = 1


def gguf_sha256(source: GGUFSource) -> str:
    """The hash of the file, declared or pinned. Raises UserError for a name that is not pinned."""
    return source.sha256 or pinned_file(source.pinned or "").sha256 or ""


def gguf_path(source: GGUFSource, variant_file: Path) -> Path:
    """Where the file is, or will be once it was fetched. Raises UserError for a name that is not pinned."""
    if source.path is not None:
        return (variant_file.parent / source.path).resolve()
    return data_folder() / pinned_place(source.pinned or "")


def converted_folder(source: GGUFSource) -> Path:
    """Where the checkpoint is that is made of a file: by the file's hash. Raises UserError for an unknown name."""
    return data_folder() / "converted" / f"{gguf_sha256(source)}-{CONVERSION}"


def weights_problem(variant: ModelVariant) -> str | None:
    """Why the checkpoint of a GGUF file is not there, with the next step; None where it is, and for other sources."""
    if variant.source.gguf is None or (converted_folder(variant.source.gguf) / "config.json").is_file():
        return None
    return (
        "the checkpoint is not made yet of the GGUF file; next: "
        f"harness data fetch --model {variant.name} --only weights"
    )
