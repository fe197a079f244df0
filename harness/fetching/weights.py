"""Weights that `harness data fetch` brings: a GGUF file, dequantised once into a checkpoint in the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.data.cache import data_folder, file_sha256
from harness.data.sources import gguf_sha256, pinned_place, tokenizer_variant
from harness.data.weights import converted_folder, gguf_path, record_made, weights_problem
from harness.errors import MachineError, UserError
from harness.fetching.downloads import Copies, whole_pinned
from harness.models.gguf_files import convert
from harness.spec.variant import GGUFSource, ModelVariant
from harness.storage import locked


def fetch_weights(variant: ModelVariant, variant_file: Path, copies: Copies) -> None:
    """Bring a variant's GGUF file if it is pinned, and make the checkpoint of it. What is there stays.

    Of a model that a recipe aligns, that is the one which the recipe begins with; its own weights are built.

    Raises UserError for a file that is missing, has another hash or cannot be converted; MachineError for a full disk.
    """
    variant, variant_file = tokenizer_variant(variant, variant_file)
    source = variant.source.gguf
    if source is None or weights_problem(variant) is None:
        return
    folder = converted_folder(source)
    try:
        with locked(folder.parent / f"{folder.name}.lock"):
            if weights_problem(variant) is not None:
                if folder.exists():  # half made, or by a version that did not record what it made
                    shutil.rmtree(folder)
                convert(_file(source, variant_file, copies), folder)
                record_made(folder, gguf_sha256(source))
    except OSError as error:
        raise MachineError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _file(source: GGUFSource, variant_file: Path, copies: Copies) -> Path:
    if source.pinned is not None:
        whole_pinned(source.pinned, copies)
        return data_folder() / pinned_place(source.pinned)
    path, wanted = gguf_path(source, variant_file), gguf_sha256(source)
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the GGUF file that {variant_file} names")
    found = file_sha256(path)
    if found != wanted:
        raise UserError(f"{path}: its SHA-256 is {found}, expected {wanted} by {variant_file}")
    return path
