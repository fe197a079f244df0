"""Importance scores and Gram matrices, stored once by content and shared by every cell and every run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from harness.errors import UserError
from harness.models.tensor_files import WRITTEN, read_tensors, tensor_metadata, write_tensors
from harness.runs.files import storage_error
from harness.storage import locked


class MemoryStore:
    """What `TensorStore` is, in memory: for a model that is gone soon, and with it all that was measured of it."""

    def __init__(self) -> None:
        self._tensors: dict[str, dict[str, Tensor]] = {}

    def get(
        self, key: dict[str, object], compute: Callable[[], dict[str, Tensor]], words: Mapping[str, str] | None = None
    ) -> dict[str, Tensor]:
        """The tensors of `key`, computed when they are asked for first."""
        text = json.dumps(key, sort_keys=True)
        if text not in self._tensors:
            self._tensors[text] = compute()
        return self._tensors[text]


class TensorStore:
    """Files named by the hash of everything that decides the tensors: model, samples, method, settings, code, machine.

    A file's time is that of its last use. variant: whose tensors are stored, in words.
    """

    def __init__(self, directory: Path, variant: str = "") -> None:
        self._directory = directory
        self._variant = variant

    def get(
        self, key: dict[str, object], compute: Callable[[], dict[str, Tensor]], words: Mapping[str, str] | None = None
    ) -> dict[str, Tensor]:
        """The stored tensors of `key`, or those that `compute` gives, stored. A damaged file is made anew.

        words: what is computed, its `origin` among them, written beside the tensors by whoever computes them.
        """
        path, text = self._place(key)
        try:
            with locked(self._directory / "locks" / path.stem):  # what one process computes, the others read
                return _stored(path, text) or self._computed(path, text, compute, words or {})
        except OSError as error:
            raise storage_error(error, path) from None

    def origin(self, key: dict[str, object]) -> str | None:
        """What was written beside the tensors of `key` when they were computed; None where there are none."""
        path, _ = self._place(key)
        return tensor_metadata(path).get("origin") if path.is_file() else None

    def _place(self, key: dict[str, object]) -> tuple[Path, str]:
        """The file of a key, and the key as it stands in the file."""
        text = json.dumps(key, sort_keys=True)
        return self._directory / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors", text

    def _computed(
        self, path: Path, key: str, compute: Callable[[], dict[str, Tensor]], words: Mapping[str, str]
    ) -> dict[str, Tensor]:
        tensors = compute()
        write_tensors(path, tensors, {"key": key, "variant": self._variant, **words})
        return tensors


def _stored(path: Path, key: str) -> dict[str, Tensor] | None:
    if not path.is_file():
        return None
    try:
        scores, metadata = read_tensors(path)
    except UserError:
        return None
    if metadata.get("key") != key or WRITTEN not in metadata:
        return None
    with contextlib.suppress(OSError):  # a store that may only be read
        os.utime(path)
    return scores
