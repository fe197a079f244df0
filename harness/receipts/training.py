"""Receipts of what trains: the samples, the loss that the first step has to begin with, the layers that may move."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from harness.calibration.pairs import Sample
from harness.calibration.plain_block import NO_LABEL
from harness.finetuning.training import KEY_PREFIX
from harness.models.layers import layer_type, linear_layers
from harness.receipts.data import PlainSet
from harness.receipts.logits import plain_logits
from harness.spec.finetuning import FineTuningSettings
from harness.spec.receipt import FineTuningReceipt, LookedAt, StageReceipt

#: Largest relative difference of two losses. In float32 2e-7 was measured on the organisms; in 16 bits a logit is
#: rounded by some hundredths.
LARGEST_DIFFERENCE, LARGEST_DIFFERENCE_16_BIT = 1e-4, 0.02
_SHOWN = 3


@dataclass(frozen=True)
class PlainTraining:
    """What a cell is to train on, read by other means, and what the intact model makes of the first step's samples.

    loss: nats for each response token. tokens: how many there are.
    """

    settings: FineTuningSettings
    samples: PlainSet
    loss: float
    tokens: int


@torch.inference_mode()
def plain_training(model: PreTrainedModel, settings: FineTuningSettings, samples: PlainSet) -> PlainTraining:
    """One forward pass for each sample of step 1. The model is intact; the first epoch's order is that of the seed."""
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(len(samples.sequences), generator=generator).tolist()
    total, tokens = 0.0, 0
    for place in order[: settings.batch_size * settings.gradient_accumulation]:
        ids, labels = samples.sequences[place]
        targets = torch.tensor(labels[1:])
        response = targets != NO_LABEL
        logits = plain_logits(model, ids)[:-1][response]
        total += float(functional.cross_entropy(logits.double(), targets[response], reduction="sum"))
        tokens += int(response.sum())
    return PlainTraining(settings, samples, total / max(1, tokens), tokens)


def first_loss(plain: PlainTraining, receipt: FineTuningReceipt, sixteen_bit: bool) -> StageReceipt:
    """Whether the first step begins with the intact model's loss on the samples that the seed draws for it."""
    seen, allowed = receipt.loss_first, LARGEST_DIFFERENCE_16_BIT if sixteen_bit else LARGEST_DIFFERENCE
    close = seen is not None and math.isclose(seen, plain.loss, rel_tol=allowed)
    holds = close and receipt.steps == plain.settings.steps
    first = min(plain.settings.examples, plain.settings.batch_size * plain.settings.gradient_accumulation)
    return StageReceipt(
        stage="weights",
        name="first-loss",
        holds=holds,
        expected=f"{plain.settings.steps} steps, the first with the intact model's loss on its {first} samples, "
        f"{plain.loss:.5g} nats a response token",
        seen=f"{receipt.steps} steps, the first with {'none' if seen is None else f'{seen:.5g}'}",
        advice="other samples, another order, other labels, or a model that had been trained before: look at what is "
        "handed to the trainer, and at what another cell left behind",
        evidence={"loss": plain.loss, "seen": -1.0 if seen is None else seen, "tokens": plain.tokens},
        looked_at=(LookedAt(what="steps", seen=1, of=plain.settings.steps),),
    )


def trained_layers(
    model: nn.Module, settings: FineTuningSettings, trained: Sequence[str], intact: Mapping[str, Tensor]
) -> StageReceipt:
    """Whether exactly the declared tensors were trained. trained: names of what the trainer had learned at its end.

    intact: every parameter before, on the CPU. What was not to train has to have kept every bit.
    """
    wanted, found = declared_to_train(model, settings), {_parameter_of(name) for name in trained}
    missing, extra = [name for name in wanted if name not in found], sorted(found - set(wanted))
    moved = [
        name
        for name, parameter in model.named_parameters()
        if name not in wanted and not torch.equal(parameter.detach().cpu(), intact[name])
    ]
    still = _kept_every_bit(model, intact, wanted) if settings.steps and settings.lora is None else []
    problems = [
        f"{len(names)} {what}, first {names[0]}"
        for names, what in (
            (missing, "of them were not trained"),
            (still, "of them have not moved"),
            (extra, "others were trained"),
            (moved, "others have moved"),
        )
        if names
    ]
    whole = sum(1 for _ in model.named_parameters())
    return StageReceipt(
        stage="weights",
        name="trained-layers",
        holds=not problems,
        expected=f"{len(wanted)} tensors to be trained ({_words(settings)}) and no other to move",
        seen="; ".join(problems[:_SHOWN]) or "that",
        advice="a region that is said to be frozen or free was neither: look at which layers the trainer was given",
        evidence={"declared": len(wanted), "trained": len(found), "others_moved": len(moved)},
        looked_at=(LookedAt(what="tensors", seen=whole, of=whole),),
    )


def _kept_every_bit(model: nn.Module, intact: Mapping[str, Tensor], names: Sequence[str]) -> list[str]:
    """Of float32 parameters; in 16 bits small steps are rounded away."""
    own = {name: model.get_parameter(name).detach() for name in names}
    return [name for name, now in own.items() if now.dtype == torch.float32 and torch.equal(now.cpu(), intact[name])]


def declared_to_train(model: nn.Module, settings: FineTuningSettings) -> list[str]:
    """Names of the parameters that a fine-tuning is to train."""
    linear = [f"{name}.weight" for name in linear_layers(model)]
    if settings.lora is not None:
        return [name for name in linear if layer_type(name.removesuffix(".weight")) in settings.lora.layer_types]
    return linear if settings.parameters == "linear_layers" else [name for name, _ in model.named_parameters()]


def _parameter_of(learned: str) -> str:
    """`model.layers.0.mlp.up_proj.weight` from PEFT's name of an adapter on it."""
    name = learned.removeprefix(f"{KEY_PREFIX}.")
    return name.replace(".lora_A.weight", ".weight").replace(".lora_B.weight", ".weight")


def _words(settings: FineTuningSettings) -> str:
    if settings.lora is not None:
        return f"adapters on {', '.join(settings.lora.layer_types)}"
    return "the linear layers" if settings.parameters == "linear_layers" else "all parameters"


def used_prompts(samples: Sequence[Sample]) -> list[list[int]]:
    """Of each sample, the tokens before its response."""
    return [sample.input_ids[sample.labels == NO_LABEL].tolist() for sample in samples]
