"""Tensors on disk: safetensors only, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from harness.errors import UserError
from harness.models.fingerprint import tensors_sha256
from harness.models.write_errors import os_error_of
from harness.reading import parsed_json
from harness.storage import whole_file

#: Metadata key: JSON {name: name under which the same tensor is stored}.
SHARED = "shared"
#: Metadata key: SHA-256 of the tensors as they were written.
WRITTEN = "tensors_sha256"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], new: bool = False) -> None:
    """Write atomically: a killed process leaves the old file or none.

    A tensor that stands under several names is stored once, under the first; the others are listed in the metadata
    under SHARED and come back as the very same tensor. The SHA-256 of all stands there under WRITTEN. new: raises
    FileExistsError where another process has written it meanwhile. Raises OSError where the disk takes no more.
    """
    first_names: dict[tuple[object, ...], str] = {}
    shared = {name: first_names.setdefault(_place(tensor), name) for name, tensor in tensors.items()}
    distinct = {name: tensors[name].contiguous().cpu() for name, first in shared.items() if name == first}
    others = {name: first for name, first in shared.items() if name != first}
    told = {**metadata, WRITTEN: tensors_sha256(distinct)} | ({SHARED: json.dumps(others)} if others else {})
    with whole_file(path, new) as written:
        _save(distinct, written, told)


def _place(tensor: Tensor) -> tuple[object, ...]:
    """The same for two tensors that are one in memory, such as tied embeddings, whatever their Python objects."""
    if tensor.numel() == 0:
        return (id(tensor),)
    return tensor.device, tensor.dtype, tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise os_error_of(error, path) or error from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file and its metadata. Raises UserError for a missing or damaged file.

    Tensors that are others than their SHA-256 says are damage too; a file of somebody else need not say one.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable safetensors file: {error}") from None
    if WRITTEN in metadata and metadata[WRITTEN] != tensors_sha256(tensors):
        raise UserError(f"{path}: its tensors are not those that were written (SHA-256); make the file again")
    try:
        tensors.update({name: tensors[first] for name, first in parsed_json(metadata.get(SHARED, "{}")).items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: its list of shared tensors is damaged; make the file again") from None
    return tensors, metadata


def tensor_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file, its tensors unread; nothing of a file that is damaged."""
    if not path.is_file():  # a pipe in its place would wait for ever
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError:
        return {}


def read_masks(path: Path) -> dict[str, Tensor]:
    """Masks stored as 0/1 in uint8, as bool."""
    tensors, _ = read_tensors(path)
    return {name: tensor.to(torch.bool) for name, tensor in tensors.items()}
