"""Faults of fine-tuning: the wrong weights frozen, as in the reproduction, or the update lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.faults.base import Fault


def _whole_rows(right: Callable[..., None]) -> Callable[..., None]:
    """The trainer gets masks in which a row of lora_B is frozen as a whole where any of its weights is selected."""

    def init(self: Any, model: Any, settings: Any, frozen_masks: Mapping[str, Any]) -> None:
        rows = {name: mask.any(dim=1, keepdim=True).expand_as(mask) for name, mask in frozen_masks.items()}
        right(self, model, settings, rows)

    return init


def _of_the_last_layer(right: Callable[..., None]) -> Callable[..., None]:
    """A closure over the loop's variable: each layer gets the mask of the last layer of its shape."""

    def init(self: Any, model: Any, settings: Any, frozen_masks: Mapping[str, Any]) -> None:
        last = {mask.shape: mask for mask in frozen_masks.values()}
        right(self, model, settings, {name: last[mask.shape] for name, mask in frozen_masks.items()})

    return init


def _unloaded_only(_right: Callable[..., None]) -> Callable[..., None]:
    """PEFT's layers are unloaded as always; nothing was added to the weights below them."""
    return lambda self: None


FAULTS = (
    Fault(
        id="frozen_rows",
        number=19,
        title="Frozen mask over whole rows",
        stage="tuning",
        caught_by=("weights/frozen-rows",),
        replaces={"harness.finetuning.lora:LoraTraining.__init__": _whole_rows},
        cells=("lora",),
    ),
    Fault(
        id="hooks_of_the_last_layer",
        number=19,
        title="Hooks all bound to the last layer: every layer frozen by one mask",
        stage="tuning",
        caught_by=("weights/frozen-set",),
        replaces={"harness.finetuning.lora:LoraTraining.__init__": _of_the_last_layer},
        cells=("lora",),
    ),
    Fault(
        id="lora_lost_at_merge",
        number=19,
        title="LoRA update lost at the merge",
        stage="tuning",
        caught_by=("weights/tuned-update",),
        replaces={"harness.finetuning.lora:LoraTraining.merge": _unloaded_only},
        cells=("lora",),
    ),
)
