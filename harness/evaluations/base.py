"""What evaluations share: the context they run in and the result they give back.

An evaluation is a module with `Settings` (a Strict model with a literal `kind`, a `name`, and the
properties `datasets` and `metrics`) and `evaluate(settings, context)`. Settings of one with metrics
whose names the spec does not decide, one for each task or layer of a model, also have
`metric_prefixes`, which those names begin with, and of one that may leave metrics out `conditional_metrics`, their
names. Settings of one that measures
something of the intact model's regions or Grams also have `calibration_sets`, the names of the sets
that it rests on, and `regions` if it has any. They may have `measured_in`: `intact`, of one that is measured
in the cells that leave the weights alone and in no other, or `fine_tuned`, in the cells with a fine-tuning; and
`compares_with_intact = True`, of one that needs a cell that changes the weights. One may have
`prepare(settings, context)`, called on the intact model before a cell's weights are changed; what that gives comes
back as `context.prepared[settings.name]`. One that generates texts also has
`measure(settings, completions, unfit)`, called when the texts have been judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.formulas.statistics import Estimate
from harness.spec.result import Completion, Measurement

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from harness.engines.base import Engine
    from harness.finetuning.checkpoints import Checkpoint
    from harness.models.prompts import PromptFormatter
    from harness.spec.region import ScoredWeightRegion, WeightRegion
    from harness.spec.variant import ModelVariant


#: Why a rate over completions means nothing, or None if it means something.
Unfit = Callable[[Sequence[Completion]], str | None]


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


@dataclass(frozen=True)
class EvaluationResult:
    """Completions still to be judged, and measurements that need no judgement."""

    completions: tuple[Completion, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    task_hashes: dict[str, str] = field(default_factory=dict)


def measurement_of(metric: str, estimate: Estimate, invalid_reason: str | None = None) -> Measurement:
    """The measurement that an estimate makes; with a reason, one that counts for nothing."""
    return Measurement(
        metric=metric,
        value=estimate.value,
        n=estimate.n,
        standard_error=estimate.standard_error,
        interval=estimate.interval,
        valid=invalid_reason is None,
        reason=invalid_reason,
    )
