"""Importance scores and Gram matrices, stored once by content and shared by every cell and every run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from harness.errors import UserError
from harness.models.tensor_files import read_tensors, write_tensors
from harness.runs.files import storage_error


class TensorStore:
    """Files named by the hash of everything that decides the tensors: model, samples, method, settings, code."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, key: dict[str, object], compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The stored tensors of `key`, or those that `compute` gives, stored. A damaged file is made anew."""
        text = json.dumps(key, sort_keys=True)
        path = self._directory / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"
        if path.is_file():
            try:
                tensors, metadata = read_tensors(path)
                if metadata.get("key") == text:
                    return tensors
            except UserError:
                path.unlink()
        tensors = compute()
        try:
            write_tensors(path, tensors, {"key": text})
        except OSError as error:
            raise storage_error(error, path) from None
        return tensors
