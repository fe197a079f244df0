"""The files of a checkpoint, read by other means than the library that loads it: a safetensors header, and bytes.

Source: https://github.com/huggingface/safetensors#format. 8 bytes with the length of a JSON header, little-endian; the
header gives of every tensor its dtype, shape and place among the bytes that follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import cached_file

from harness.errors import UserError
from harness.models.folder import INDEX, shards
from harness.reading import no_file, parsed_json, read_json
from harness.spec.layers import LAYER_TYPES

SINGLE = "model.safetensors"
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
#: The largest header that safetensors itself reads.
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies. start, end: in bytes from the beginning of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def read(self) -> Tensor:
        """On the CPU, in the dtype of the file. Raises UserError where the file does not hold that many numbers."""
        dtype = _DTYPES.get(self.dtype)
        content = np.fromfile(self.file, np.uint8, count=self.end - self.start, offset=self.start)
        size = int(np.prod(self.shape, dtype=np.int64))
        if dtype is None or len(content) != self.end - self.start or len(content) != size * dtype.itemsize:
            raise UserError(f"{self.file}: {size} numbers of {self.dtype} do not fit in {len(content)} bytes")
        return torch.from_numpy(content).view(dtype).reshape(self.shape)


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint's config.json, and its tensors by name, unread."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    @classmethod
    def at(cls, place: str, revision: str | None = None) -> CheckpointFiles:
        """Of a folder, or of a repository of the hub whose files are here. Raises UserError for damaged ones."""
        folder = (
            Path(place) if Path(place).is_dir() else Path(str(cached_file(place, "config.json", revision=revision)))
        )
        folder = folder if folder.is_dir() else folder.parent
        names = [SINGLE]
        if (folder / INDEX).is_file():
            try:
                names = shards(folder / INDEX)
            except UserError as error:
                raise UserError(f"{folder / INDEX}: {error}") from None
        tensors: dict[str, StoredTensor] = {}
        for name in names:
            tensors |= stored_tensors(folder / name)
        return cls(folder, read_json(folder / "config.json"), tensors)


def unloaded_layers(files: CheckpointFiles) -> dict[str, nn.Linear]:
    """The linear layers of a checkpoint by name, of the shapes that its files have, on the device `meta`."""
    endings = tuple(f".{kind}.weight" for kind in LAYER_TYPES)
    shapes = {name: tensor.shape for name, tensor in files.tensors.items() if name.endswith(endings)}
    return {
        name.removesuffix(".weight"): nn.Linear(shape[1], shape[0], bias=False, device="meta")
        for name, shape in shapes.items()
        if len(shape) == 2
    }


def stored_tensors(file: Path) -> dict[str, StoredTensor]:
    """The tensors of one file. Raises UserError for one that is no safetensors file, or no file."""
    if (kind := no_file(file)) is not None:
        raise UserError(f"{file}: is {kind}; expected a file")
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            if length > _LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = parsed_json(content.read(length).decode("utf-8"))
        return {
            name: StoredTensor(
                file,
                str(entry["dtype"]),
                tuple(int(size) for size in entry["shape"]),
                *(8 + length + int(place) for place in entry["data_offsets"]),
            )
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except FileNotFoundError:
        raise UserError(f"{file}: cannot be loaded: no such file; a checkpoint holds weights as safetensors") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: not a readable safetensors file: {error}") from None
