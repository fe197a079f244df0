"""What an evaluation runs in, what it gives back, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.spec.evaluation import DeclaredTexts
from harness.spec.measurement import Completion, Measurement, RawValues
from harness.spec.probing import ProbeSettings

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from harness.engines.base import Engine, Scorer
    from harness.finetuning.checkpoints import Checkpoint
    from harness.models.prompts import PromptFormatter
    from harness.receipts.reference import Reference
    from harness.spec.region import ScoredWeightRegion, WeightRegion
    from harness.spec.variant import ModelVariant


@dataclass(frozen=True)
class Training:
    """What is left of a fine-tuning. intact: every parameter before it, by name, on the CPU."""

    intact: Mapping[str, Tensor]
    checkpoints: Sequence[Checkpoint]


@dataclass(frozen=True)
class EvaluationContext:
    """Everything an evaluation may use. `path_of` gives the checked file behind a dataset name.

    model: the weights behind the engine, as they are now, for evaluations that look inside them;
    None where only the engine is at hand.
    find_masks: the masks of a region of the intact model by layer. grams: the Gram matrices of the
    intact model's layer inputs on a calibration set, named. None where no calibration data is at hand.
    masks_anew: the masks of regions of the model as it is now, each calibration set scored once for all of them.
    training: of a fine-tuned cell. prepared: what `prepare` of each evaluation gave, by the evaluation's name.
    reference, cell: for receipts alone, what they compare with, and the cell for which they draw where to look.
    """

    variant: ModelVariant
    engine: Engine
    formatter: PromptFormatter
    path_of: Callable[[str], Path]
    model: PreTrainedModel | None = None
    find_masks: Callable[[WeightRegion], Mapping[str, Tensor]] | None = None
    grams: Callable[[str], Mapping[str, Tensor]] | None = None
    masks_anew: Callable[[Sequence[ScoredWeightRegion]], Sequence[Mapping[str, Tensor]]] | None = None
    training: Training | None = None
    prepared: Mapping[str, Any] = field(default_factory=dict)
    reference: Reference | None = None
    cell: str = ""


@dataclass(frozen=True)
class Unloaded:
    """What an evaluation may look at before any weight is loaded.

    `path_of` gives the checked file behind a dataset name. context_tokens: the longest text that the model takes.
    """

    variant: ModelVariant
    formatter: PromptFormatter
    path_of: Callable[[str], Path]
    context_tokens: int


@dataclass(frozen=True)
class EvaluationResult:
    """Completions still to be judged, and measurements that need no judgement, with what they are computed from."""

    completions: tuple[Completion, ...] = ()
    raw: tuple[RawValues, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    task_hashes: dict[str, str] = field(default_factory=dict)


class Sizes(Protocol):
    """Tokens of what an evaluation asks for, for `harness plan`: counted, or assumed where the data are not here."""

    variant: ModelVariant

    def prompts(self, settings: DeclaredTexts) -> list[int]:
        """Of every prompt, BOS included, each as often as it is sampled."""

    def windows(self, dataset: str, width: int, windows: int | None) -> int:
        """Of the windows of a text."""

    def task(self, task: str, limit: int | None, ask: Callable[[Path, Scorer, PromptFormatter], None]) -> int:
        """Of all contexts with each answer, of the first `limit` items of a task.

        ask: has an engine score them, from the task's file.
        """

    def probed(self, settings: ProbeSettings) -> int:
        """Of all prompts that attention heads are probed with."""
