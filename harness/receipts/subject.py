"""What the observers of a cell look at, and what an evaluation is to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transformers import PreTrainedModel

from harness.engines.base import Engine
from harness.models.prompts import PromptFormatter
from harness.receipts import logits
from harness.receipts.logits import Deviation
from harness.receipts.observed_engine import Observed
from harness.receipts.reference import Reference
from harness.spec.cell import Cell
from harness.spec.measurement import Completion, Measurement
from harness.spec.receipt import StageReceipt


class Observable(Protocol):
    """An evaluation, as far as observers ask it. See harness.evaluations.base.Evaluation.

    context: what the evaluation itself was measured in, handed on as it is.
    """

    settings: Any

    @property
    def scores_prompts(self) -> bool:
        """Whether the texts that the engine scores for it are prompts."""

    def first_window(self, context: Any) -> tuple[int, ...]:
        """Ids of a text whose likelihood is compared before and after the change."""

    def receipts(self, context: Any, observed: Observed, measurements: Sequence[Measurement]) -> list[StageReceipt]:
        """What it claims to have measured, against what passed to the engine."""

    def figure_receipts(
        self, entries: Sequence[Any], completions: Sequence[Completion], measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """Figures of judged texts, made a second time, once for all `entries` of its kind."""


@dataclass(frozen=True)
class Seen:
    """An evaluation, what passed between it and the engine, and what it counted before any text was judged.

    context: what it was measured in.
    """

    evaluation: Observable
    observed: Observed
    measurements: Sequence[Measurement]
    context: Any


@dataclass(frozen=True)
class Subject:
    """One cell, and the model and engine that it is measured with, as they are at the moment."""

    cell: Cell
    reference: Reference
    engine: Engine
    formatter: PromptFormatter
    evaluations: tuple[Observable, ...]
    context: Any

    @property
    def model(self) -> PreTrainedModel:
        """The one that is measured: intact, changed, and intact again."""
        return self.reference.model

    def first_token_deviations(self, prompts: Sequence[tuple[int, ...]]) -> list[Deviation]:
        """How far the engine's first tokens lie from those of a plain forward pass."""
        if not prompts:
            return []
        found = self.engine.first_tokens(prompts, logits.COMPARED_TOKENS)
        return [
            logits.first_token_deviation(self.model, prompt, likeliest)
            for prompt, likeliest in zip(prompts, found, strict=True)
        ]
