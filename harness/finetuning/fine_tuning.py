"""The one entry point: fine-tune a model in place, and prove what moved and what did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.calibration.pairs import IGNORED, Sample
from harness.errors import UserError
from harness.finetuning.checkpoints import CheckpointWriter
from harness.finetuning.full import FullTraining
from harness.finetuning.lora import LoraTraining
from harness.finetuning.training import AfterStep, Method, Progress, TrainedFiles, TrainingCourse, train
from harness.models.fingerprint import mask_fingerprint, model_fingerprint
from harness.models.layers import linear_layers
from harness.spec.finetuning import FineTuningSettings
from harness.spec.receipt import FineTuningReceipt

_METHODS: dict[str, type[FullTraining] | type[LoraTraining]] = {"full": FullTraining, "lora": LoraTraining}
_BITS = {2: torch.int16, 4: torch.int32}


@dataclass
class _Counts:
    """Weights by what became of them."""

    trainable: int = 0
    moved: int = 0
    swallowed: int = 0
    frozen: int = 0
    frozen_changed: int = 0


def fine_tune(
    model: PreTrainedModel,
    samples: Sequence[Sample],
    settings: FineTuningSettings,
    frozen_masks: Mapping[str, Tensor] | None,
    progress: Progress,
    checkpoints: Path | None = None,
    trained: Callable[[TrainedFiles], None] = lambda files: None,
) -> FineTuningReceipt:
    """Fine-tune the model in place; the same seed gives the same weights on one machine and thread count.

    frozen_masks: {layer name: (d_out, d_in) bool}, True where a weight must not move; layers not in it
    move freely. checkpoints: the folder for those that the settings ask for, emptied first. trained: given what
    had been learned before it was merged, for whoever checks the result.
    Call it inside `all_weights_restored` where the intact model is needed again.
    Raises UserError for bad samples or masks before a weight is touched, or where the loss diverges. Frozen entries
    that differ in one bit afterwards are counted in the receipt.
    """
    if settings.checkpoint_every is not None and checkpoints is None:
        raise ValueError("the settings ask for checkpoints, and no folder is given for them")
    masks = dict(frozen_masks or {})
    _refuse_unfit(model, samples, settings, masks)
    fingerprint = model_fingerprint(model)
    before = {name: parameter.detach().cpu().clone() for name, parameter in model.named_parameters()}
    method: Method = _METHODS[settings.method](model, settings, masks)
    try:
        writer = CheckpointWriter(checkpoints, method, masks) if settings.checkpoint_every and checkpoints else None
        course = train(model, method, samples, settings, progress, _saving(writer, settings))
        if course.steps:
            trained(method.trained_files())
            method.merge()
    finally:
        method.close()
    counts = _count(model, method, masks, before)
    receipt = _receipt(model, settings, masks, course, counts, fingerprint)
    return receipt if writer is None else receipt.model_copy(update={"checkpoints": tuple(writer.written)})


def _saving(writer: CheckpointWriter | None, settings: FineTuningSettings) -> AfterStep:
    """What saves a checkpoint after the steps that the settings name; the one of step 0 at once."""
    due = set(settings.checkpoint_steps)

    def after_step(step: int) -> None:
        if writer is not None and step in due:
            writer.write(step)

    after_step(0)
    return after_step


def _refuse_unfit(
    model: PreTrainedModel, samples: Sequence[Sample], settings: FineTuningSettings, masks: Mapping[str, Tensor]
) -> None:
    if model.dtype == torch.float16:
        raise UserError("fine-tuning: gradients underflow in float16; give the variant dtype bfloat16 or float32")
    if len(samples) != settings.examples:
        raise UserError(f"fine-tuning: got {len(samples)} samples, the settings say {settings.examples} examples")
    for index, sample in enumerate(samples):
        if not (sample.labels[1:] != IGNORED).any():
            raise UserError(f"fine-tuning: sample {index} has no response token to learn from")
    layers = linear_layers(model)
    for name, mask in masks.items():
        if name not in layers:
            raise UserError(f"fine-tuning: the model has no linear layer {name!r} to freeze")
        shape = tuple(layers[name].weight.shape)
        if mask.dtype != torch.bool or tuple(mask.shape) != shape:
            raise UserError(
                f"fine-tuning: the frozen mask of {name} is {mask.dtype} {tuple(mask.shape)}, expected bool {shape}"
            )


@torch.no_grad()
def _count(
    model: PreTrainedModel, method: Method, masks: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> _Counts:
    """Compare every parameter, bit by bit, with what it was."""
    counts = _Counts()
    frozen = {f"{layer}.weight": mask for layer, mask in masks.items()}
    for name, parameter in model.named_parameters():
        changed = bitwise_changed(before[name], parameter)
        mask = frozen.get(name)
        if mask is not None:
            counts.frozen += int(mask.sum())
            counts.frozen_changed += int((changed & mask.cpu()).sum())
        if name not in method.trained:
            continue
        free = torch.ones_like(changed) if mask is None else ~mask.cpu()
        intended = method.update(name, before[name]).cpu() != 0
        counts.trainable += int(free.sum())
        counts.moved += int((changed & free).sum())
        counts.swallowed += int((intended & ~changed & free).sum())
    return counts


def bitwise_changed(before: Tensor, after: Tensor) -> Tensor:
    """Bool, where two tensors of one dtype differ in a bit; +0 and −0 do."""
    integer = _BITS[before.element_size()]
    return before.view(integer) != after.detach().cpu().contiguous().view(integer)


def _receipt(
    model: PreTrainedModel,
    settings: FineTuningSettings,
    masks: Mapping[str, Tensor],
    course: TrainingCourse,
    counts: _Counts,
    fingerprint: str,
) -> FineTuningReceipt:
    linear = sum(layer.weight.numel() for layer in linear_layers(model).values())
    whole = sum(parameter.numel() for parameter in model.parameters())
    return FineTuningReceipt(
        settings=settings.model_dump(mode="json", exclude_none=True),
        steps=course.steps,
        examples=settings.examples,
        loss_first=course.loss_first,
        loss_last=course.loss_last,
        frozen_share_of_linear=counts.frozen / linear,
        frozen_share_of_all=counts.frozen / whole,
        frozen_mask_sha256=mask_fingerprint(masks) if masks else None,
        frozen_checked=counts.frozen,
        frozen_changed=counts.frozen_changed,
        weights_trainable=counts.trainable,
        moved_share=counts.moved / counts.trainable if counts.trainable else None,
        swallowed_share=counts.swallowed / counts.trainable if counts.trainable else None,
        fingerprint_before=fingerprint,
        fingerprint_after=model_fingerprint(model),
    )
