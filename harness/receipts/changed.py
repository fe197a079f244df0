"""The second stage of a cell: the edit or fine-tuning is in force, nothing is evaluated yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harness.calibration.pairs import Sample
from harness.finetuning.checkpoints import Checkpoint
from harness.models.fingerprint import model_fingerprint
from harness.receipts import data, training, weights
from harness.receipts.before import Before
from harness.receipts.course import Course, as_declared
from harness.receipts.logits import Deviation
from harness.spec.receipt import FineTuningReceipt, StageReceipt


class Kept(Protocol):
    """What is left of a fine-tuning: every parameter before it, and its checkpoints."""

    @property
    def intact(self) -> Mapping[str, Tensor]:
        """By name, on the CPU."""

    @property
    def checkpoints(self) -> Sequence[Checkpoint]:
        """In the order of their steps."""


class Tuning(Protocol):
    """A fine-tuning that is in force."""

    @property
    def receipt(self) -> FineTuningReceipt:
        """What it did."""

    @property
    def training(self) -> Kept:
        """What is left of it."""

    @property
    def samples(self) -> Sequence[Sample]:
        """What it was trained on, tokenised."""

    @property
    def course(self) -> Course:
        """What was seen of its steps."""

    @property
    def trained(self) -> Sequence[str]:
        """Names of the tensors that the trainer had learned at its end; none where no step was taken."""


@dataclass(frozen=True)
class Changed:
    """What was seen of the changed model.

    edited: fingerprint of all parameters. held: of those that the engine has. deviations: of its answers to prompts
    that it saw under the intact weights.
    """

    before: Before
    edited: str
    held: str
    deviations: tuple[Deviation, ...]
    receipts: tuple[StageReceipt, ...]

    @classmethod
    def seen(cls, before: Before, tuning: Tuning | None) -> Changed:
        """tuning: None where nothing was trained."""
        subject = before.subject
        return cls(
            before=before,
            receipts=_receipts(before, tuning),
            edited=model_fingerprint(subject.model),
            held=subject.engine.weights_fingerprint(),
            deviations=tuple(subject.first_token_deviations(before.sent)),
        )


def _receipts(before: Before, tuning: Tuning | None) -> tuple[StageReceipt, ...]:
    model = before.subject.model
    if tuning is None:
        return (weights.edited_places(before.expected, model, before.found),)
    kept, receipt, found = tuning.training, tuning.receipt, []
    if before.training is not None:
        found = [*_what_trained(before, tuning), training.first_loss(before.training, receipt, _sixteen_bit(before))]
        found.append(as_declared(tuning.course, before.training))
        found.append(training.trained_layers(model, before.training.settings, tuning.trained, kept.intact))
    if receipt.checkpoints:
        saved = tuple(kept.checkpoints)
        found.append(weights.own_checkpoints(model, kept.intact, saved, receipt.checkpoints, receipt.steps))
    return tuple(found)


def _what_trained(before: Before, tuning: Tuning) -> Iterator[StageReceipt]:
    """Of the samples. The hash of the file was compared with the declared one when it was found."""
    reference, plain = before.subject.reference, before.training
    if plain is None:
        return
    own = plain.samples
    yield data.same_samples([own], [tuning.samples], [own.file_sha256], kind="training")
    prompts = reference.as_texts(training.used_prompts(tuning.samples))
    yield data.nothing_evaluated([own], prompts, reference.evaluated, reference.frames, name="no-request-trained")


def _sixteen_bit(before: Before) -> bool:
    return before.subject.model.dtype != torch.float32
