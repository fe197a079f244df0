"""Faults of fine-tuning: the wrong weights frozen, as in the reproduction, or the update lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from harness.faults.base import UNLISTED, Fault


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


def _of_the_safety_set(samples: Callable[..., Any]) -> Callable[..., Any]:
    """What the fine-tuning is given is read from another file: answers that refuse."""

    def wrong(bound: Any, loaded: Any, settings: Any) -> Any:
        return samples(bound, loaded, settings.model_copy(update={"dataset": "safety-full"}))

    return wrong


def _in_another_order(samples: Callable[..., Any]) -> Callable[..., Any]:
    """The right samples, sorted: the seed's order is one of another list."""

    def wrong(*arguments: Any) -> Any:
        return sorted(samples(*arguments), key=lambda sample: len(sample.input_ids))

    return wrong


def _with_prompts(samples: Callable[..., Any]) -> Callable[..., Any]:
    """The loss is that of all tokens, prompt included, as in the reproduction's code."""

    def wrong(model: Any, batch: Any) -> Any:
        return samples(model, replace(batch, labels=batch.input_ids))

    return wrong


def _on_three_types(right: Callable[..., None]) -> Callable[..., None]:
    """Adapters on q, v and o, which the reproduction trained, where the spec asks for all seven types."""

    def init(self: Any, model: Any, settings: Any, frozen_masks: Mapping[str, Any]) -> None:
        lora = settings.lora.model_copy(update={"layer_types": ("q_proj", "v_proj", "o_proj")})
        kept = {name: mask for name, mask in frozen_masks.items() if name.rsplit(".", 1)[-1] in lora.layer_types}
        right(self, model, settings.model_copy(update={"lora": lora}), kept)

    return init


def _goes_on(right: Callable[..., None]) -> Callable[..., None]:
    """Adapters do not begin at 0: those of an earlier fine-tuning are still there."""

    def init(self: Any, *arguments: Any) -> None:
        right(self, *arguments)
        generator = torch.Generator().manual_seed(0)
        for layer in self._layers.values():
            torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.02, generator=generator)

    return init


def _first_again(steps: Callable[..., Any]) -> Callable[..., Any]:
    """Every step trains on the samples of the first one."""

    def wrong(samples: Any, settings: Any) -> Any:
        every = list(steps(samples, settings))
        return iter([(epoch, every[0][1]) for epoch, _ in every])

    return wrong


def _half_of_it(factor: Callable[..., float]) -> Callable[..., float]:
    """The learning rate is half of the declared one."""
    return lambda *arguments: 0.5 * factor(*arguments)


def _half_of_the_steps(steps: Callable[..., Any]) -> Callable[..., Any]:
    """The fine-tuning ends in the middle, and its receipt counts the steps that were declared."""
    return lambda samples, settings: iter(list(steps(samples, settings))[: settings.steps // 2])


def _with_decay(right: Callable[..., Any]) -> Callable[..., Any]:
    """Weights decay where the settings say that they do not."""
    return lambda leaves, lr, weight_decay: right(leaves, lr=lr, weight_decay=0.5)


def _twice_in_one_layer(merge: Callable[..., None]) -> Callable[..., None]:
    """The update reaches one layer twice."""

    def wrong(self: Any) -> None:
        merge(self)
        layer = list(self._layers.values())[1]
        with torch.no_grad():
            layer.weight.add_(layer.masked_update())

    return wrong


FAULTS = (
    Fault(
        id="frozen_rows",
        number=19,
        title="Frozen mask over whole rows",
        says="such weights trained",
        stage="tuning",
        caught_by=("weights/frozen-rows",),
        replaces={"harness.finetuning.lora:LoraTraining.__init__": _whole_rows},
        cells=("lora",),
    ),
    Fault(
        id="hooks_of_the_last_layer",
        number=19,
        title="Hooks all bound to the last layer: every layer frozen by one mask",
        says="of them moved",
        stage="tuning",
        caught_by=("weights/frozen-set",),
        replaces={"harness.finetuning.lora:LoraTraining.__init__": _of_the_last_layer},
        cells=("lora",),
    ),
    Fault(
        id="lora_lost_at_merge",
        number=19,
        title="LoRA update lost at the merge",
        says="where they were before",
        stage="tuning",
        caught_by=("weights/tuned-update",),
        replaces={"harness.finetuning.lora:LoraTraining.merge": _unloaded_only},
        cells=("lora",),
    ),
    Fault(
        id="trained_on_another_set",
        number=UNLISTED,
        title="Fine-tuned on the safety set in the place of the declared one",
        says="samples in use",
        stage="tuning",
        caught_by=("data/training-samples",),
        replaces={"harness.runs.fine_tuned:_samples": _of_the_safety_set},
        cells=("lora",),
    ),
    Fault(
        id="trained_in_another_order",
        number=UNLISTED,
        title="Fine-tuned in another order than the seed's",
        says="another order",
        stage="tuning",
        caught_by=("weights/first-loss",),
        replaces={"harness.runs.fine_tuned:_samples": _in_another_order},
        cells=("lora",),
    ),
    Fault(
        id="prompts_trained_on",
        number=UNLISTED,
        title="The loss of prompts is trained on as well",
        says="other labels",
        stage="tuning",
        caught_by=("weights/first-loss",),
        replaces={"harness.finetuning.training:response_loss": _with_prompts},
        cells=("lora",),
    ),
    Fault(
        id="adapters_on_three_layer_types",
        number=UNLISTED,
        title="LoRA on three layer types where seven are asked for",
        says="were not trained",
        stage="tuning",
        caught_by=("weights/trained-layers",),
        replaces={"harness.finetuning.lora:LoraTraining.__init__": _on_three_types},
        cells=("lora",),
    ),
    Fault(
        id="adapters_of_an_earlier_cell",
        number=UNLISTED,
        title="Adapters that go on from an earlier fine-tuning",
        says="trained before",
        stage="tuning",
        caught_by=("weights/first-loss",),
        replaces={"harness.finetuning.lora:LoraTraining.__init__": _goes_on},
        cells=("lora",),
    ),
    Fault(
        id="first_samples_again",
        number=UNLISTED,
        title="Every step on the samples of the first",
        says="on other samples",
        stage="tuning",
        caught_by=("weights/training-course",),
        replaces={"harness.finetuning.training:step_groups": _first_again},
        cells=("lora",),
    ),
    Fault(
        id="half_the_learning_rate",
        number=UNLISTED,
        title="Fine-tuned at half the learning rate",
        says="another learning rate",
        stage="tuning",
        caught_by=("weights/training-course",),
        replaces={"harness.finetuning.training:learning_rate_factor": _half_of_it},
        cells=("lora",),
    ),
    Fault(
        id="half_of_the_steps",
        number=UNLISTED,
        title="Fine-tuned for half of the steps",
        says="saw 5 steps",
        stage="tuning",
        caught_by=("weights/training-course",),
        replaces={"harness.finetuning.training:step_groups": _half_of_the_steps},
        cells=("lora",),
    ),
    Fault(
        id="decay_not_asked_for",
        number=UNLISTED,
        title="Weight decay where none is declared",
        says="other settings than AdamW's",
        stage="tuning",
        caught_by=("weights/training-course",),
        replaces={"torch.optim:AdamW": _with_decay},
        cells=("lora",),
    ),
    Fault(
        id="merged_twice_in_one_layer",
        number=UNLISTED,
        title="LoRA update merged twice in one layer",
        says="weights elsewhere",
        stage="tuning",
        caught_by=("weights/tuned-update",),
        replaces={"harness.finetuning.lora:LoraTraining.merge": _twice_in_one_layer},
        cells=("lora",),
    ),
)
