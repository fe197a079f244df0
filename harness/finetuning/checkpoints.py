"""Checkpoints of a fine-tuning on disk: written whole or not at all, read one layer at a time.

<folder>/step-000500/adapter_config.json, adapter_model.safetensors    PEFT's own format, for the method lora
<folder>/step-000500/weights.safetensors                               all that trains, in float32, for `full`
<folder>/frozen_masks.safetensors                                      1 where an entry could not move, if any

PEFT knows no frozen entries: an adapter that was trained beside some is the model's only once its update is 0 there,
as `Checkpoint.update` has it. PEFT alone would move them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.errors import UserError
from harness.finetuning.training import ADAPTER, ADAPTER_CONFIG, KEY_PREFIX, WEIGHTS, Method
from harness.models.tensor_files import write_tensors
from harness.reading import read_json
from harness.spec.receipt import CheckpointReceipt
from harness.storage import whole_folder

FROZEN = "frozen_masks.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What had been trained after `step` steps; it lies in `directory`."""

    step: int
    directory: Path

    @torch.no_grad()
    def update(self, layer: str, intact: Tensor) -> Tensor:
        """The float32 change of a linear layer's weights up to this step, (d_out, d_in), on the CPU.

        intact: W₀ (d_out, d_in). Of LoRA it is (1 − M) ∘ (s·BA), of full training master − W₀; of a layer that
        was not trained it is 0.
        """
        if (self.directory / WEIGHTS).is_file():
            trained = self._tensor(self.directory / WEIGHTS, f"{layer}.weight")
            return torch.zeros(intact.shape) if trained is None else trained - intact.cpu().float()
        b, a = self._factors(layer)
        if b is None or a is None:
            return torch.zeros(intact.shape)
        update = (b @ a) * self._scale  # (d_out, r) x (r, d_in)
        frozen = self._tensor(self.directory.parent / FROZEN, layer)
        return update if frozen is None else update.masked_fill(frozen.bool(), 0.0)

    @torch.no_grad()
    def update_rounding(self, layer: str, intact: Tensor) -> Tensor:
        """By how much two float32 products s·BA of the same A and B may differ, (d_out, d_in), on the CPU.

        Each is within γ_{r+1} s·|B||A| of the exact one, whichever order its r terms are added in, so that they
        differ by twice that at most; full training multiplies nothing, and its bound is 0.
        Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.5.
        """
        b, a = self._factors(layer)
        if b is None or a is None:
            return torch.zeros(intact.shape)
        terms = b.shape[1] + 1
        unit = torch.finfo(torch.float32).eps / 2
        return (b.abs() @ a.abs()) * (2 * self._scale * terms * unit / (1 - terms * unit))

    def _factors(self, layer: str) -> tuple[Tensor | None, Tensor | None]:
        """B (d_out, r) and A (r, d_in) of a layer; None where the checkpoint has none."""
        b, a = (self._tensor(self.directory / ADAPTER, f"{KEY_PREFIX}.{layer}.lora_{x}.weight") for x in "BA")
        return b, a

    @cached_property
    def _scale(self) -> float:
        path = self.directory / ADAPTER_CONFIG
        config = read_json(path)
        alpha, rank = (config.get(key) if isinstance(config, dict) else None for key in ("lora_alpha", "r"))
        if not isinstance(alpha, int | float) or not isinstance(rank, int) or rank < 1:
            raise UserError(f"{path}: not the config of an adapter: expected lora_alpha, a number, and r, its rank")
        return alpha / rank

    @staticmethod
    def _tensor(path: Path, name: str) -> Tensor | None:
        """One tensor of a file; None where the file is not there or does not hold it."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name) if name in file.keys() else None  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: not a readable safetensors file: {error}") from None


class CheckpointWriter:
    """Writes the checkpoints of one fine-tuning into a folder of their own.

    What an interrupted run left there is removed first. Raises OSError where the disk takes no more.
    """

    def __init__(self, folder: Path, method: Method, frozen_masks: Mapping[str, Tensor]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder, self._method = folder, method
        self.written: list[CheckpointReceipt] = []
        self._shared_hashes: dict[str, str] = {}
        if frozen_masks:
            masks = {name: mask.to("cpu", torch.uint8) for name, mask in frozen_masks.items()}
            write_tensors(folder / FROZEN, masks, {"format": "pt"})
            self._shared_hashes = {f"../{FROZEN}": _sha256(folder / FROZEN)}

    def write(self, step: int) -> None:
        """Save what is trained now. The checkpoint's folder gets its name once all of it is there."""
        files = self._method.trained_files()
        with whole_folder(checkpoint_directory(self._folder, step)) as part:
            write_tensors(part / files.file, files.tensors, {"format": "pt"})
            for name, content in files.json_files.items():
                (part / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            hashes = {path.name: _sha256(path) for path in sorted(part.iterdir())} | self._shared_hashes
        self.written.append(CheckpointReceipt(step=step, files_sha256=hashes))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checkpoint_directory(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies among those of its fine-tuning."""
    return folder / f"step-{step:06d}"
