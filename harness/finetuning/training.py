"""The training loop that both methods share: order, loss, learning rate, steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from harness.calibration.pairs import IGNORED, Batch, Sample, pad
from harness.errors import UserError
from harness.spec.finetuning import FineTuningSettings

#: File names of checkpoints: PEFT's for adapters, with the prefix of its keys, and ours for whole weights.
ADAPTER_CONFIG, ADAPTER, KEY_PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model"
WEIGHTS = "weights.safetensors"

#: Called with the share of the steps that is done, from 0 to 1.
Progress = Callable[[float], None]
#: Called after each step with the number of steps taken.
AfterStep = Callable[[int], None]


@dataclass(frozen=True)
class TrainedFiles:
    """Float32 tensors of one safetensors file, and the JSON files that stand beside it, by file name."""

    file: str
    tensors: dict[str, Tensor]
    json_files: dict[str, dict[str, Any]] = field(default_factory=dict)


class Method(Protocol):
    """One way to train a model: what the optimizer moves, and how that becomes the model's weights.

    trained: by parameter name, the mask of entries that must not move, or None where all may.
    leaves: the float32 tensors that the optimizer moves.
    """

    trained: dict[str, Tensor | None]
    leaves: list[nn.Parameter]

    def collect_gradients(self) -> None:
        """After each backward pass: gradients of this pass onto the leaves, none on frozen entries."""

    def store(self) -> None:
        """After each step: the model's weights follow the leaves."""

    def merge(self) -> None:
        """After the last step: the model's own parameters hold the result."""

    def update(self, name: str, before: Tensor) -> Tensor:
        """The float32 change of a trained parameter, before it was rounded to the model's dtype."""

    def trained_files(self) -> TrainedFiles:
        """What has been trained so far, as files that hold it whole."""

    def close(self) -> None:
        """Leave the model as modules and gradient flags were, whatever its weights are now."""


@dataclass(frozen=True)
class TrainingCourse:
    """Steps taken and the loss (nats per response token) of the first and the last, each before its update."""

    steps: int
    loss_first: float | None
    loss_last: float | None


def response_loss(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, int]:
    """Summed negative log-likelihood of the response tokens given all before them, and their number.

    Logits are formed only where a response token is predicted: prompt and padding have no part in it.
    Padding is on the right and attention is causal, so that no token sees padding.
    """
    hidden = model.model(input_ids=batch.input_ids, use_cache=False).last_hidden_state[:, :-1]
    targets = batch.labels[:, 1:]
    predicting = targets != IGNORED  # (B, T - 1)
    logits = model.lm_head(hidden[predicting]).float()  # (tokens, vocabulary)
    return functional.cross_entropy(logits, targets[predicting], reduction="sum"), int(predicting.sum())


def train(
    model: PreTrainedModel,
    method: Method,
    samples: Sequence[Sample],
    settings: FineTuningSettings,
    progress: Progress,
    after_step: AfterStep,
) -> TrainingCourse:
    """Take all steps. Raises UserError if the loss stops being finite: the model would be noise."""
    total = settings.steps
    if total == 0:
        return TrainingCourse(0, None, None)
    optimizer = torch.optim.AdamW(method.leaves, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    losses = []
    for step, (epoch, group) in enumerate(step_groups(samples, settings)):
        factor = learning_rate_factor(step, total, epoch, settings)
        for parameters in optimizer.param_groups:
            parameters["lr"] = settings.learning_rate * factor
        losses.append(step_gradients(model, method, group, settings.batch_size))
        if not math.isfinite(losses[-1]):
            raise UserError(
                f"fine-tuning: the loss of step {step + 1} is {losses[-1]}; lower learning_rate "
                f"({settings.learning_rate:g}), in the spec or under `fine_tuning` of the variant"
            )
        if settings.maximum_gradient_norm is not None:
            nn.utils.clip_grad_norm_(method.leaves, settings.maximum_gradient_norm)
        optimizer.step()
        method.store()
        optimizer.zero_grad()
        progress((step + 1) / total)
        after_step(step + 1)
    return TrainingCourse(total, losses[0], losses[-1])


def learning_rate_factor(step: int, steps: int, epoch: int, settings: FineTuningSettings) -> float:
    """What the learning rate of a step (counted from 0) is multiplied by."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.learning_rate_schedule == "epoch_decay":
        return settings.epoch_decay**epoch
    if settings.learning_rate_schedule == "linear":
        return (steps - step) / (steps - settings.warmup_steps)
    return 1.0


def step_groups(samples: Sequence[Sample], settings: FineTuningSettings) -> Iterator[tuple[int, list[Sample]]]:
    """Epoch and samples of every step. Each epoch goes through all samples in an order of its own."""
    generator = torch.Generator().manual_seed(settings.seed)
    size = settings.batch_size * settings.gradient_accumulation
    for epoch in range(settings.epochs):
        order = torch.randperm(len(samples), generator=generator).tolist()
        for first in range(0, len(order), size):
            yield epoch, [samples[index] for index in order[first : first + size]]


def step_gradients(model: PreTrainedModel, method: Method, group: Sequence[Sample], batch_size: int) -> float:
    """Gradients of the mean loss over all response tokens of a step, batch by batch. Returns the loss."""
    tokens = sum(int((sample.labels[1:] != IGNORED).sum()) for sample in group)
    total = 0.0
    for first in range(0, len(group), batch_size):
        batch = pad(group[first : first + batch_size]).to(model.device)
        with torch.enable_grad():
            loss, _ = response_loss(model, batch)
            mean = loss / tokens
        mean.backward()
        method.collect_gradients()
        total += float(mean.detach())
    return total
