"""The second stage of a cell: the edit or fine-tuning is in force, nothing is evaluated yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from harness.finetuning.checkpoints import Checkpoint
from harness.models.fingerprint import model_fingerprint
from harness.receipts import weights
from harness.receipts.before import Before
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


@dataclass(frozen=True)
class Changed:
    """What was seen of the changed model.

    edited: SHA-256 over all parameters. held: of those that the engine has. deviations: of its answers to prompts
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
    if not tuning.receipt.checkpoints:
        return ()
    kept, receipt = tuning.training, tuning.receipt
    return (weights.own_checkpoints(model, kept.intact, tuple(kept.checkpoints), receipt.checkpoints, receipt.steps),)
