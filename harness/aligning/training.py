"""Ordinary supervised fine-tuning of all parameters, which goes on where it was interrupted."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.calibration.pairs import IGNORED, Sample
from harness.errors import UserError
from harness.finetuning.full import FullTraining
from harness.finetuning.training import learning_rate_factor, step_gradients, step_groups
from harness.models.prompts import PromptFormatter, PromptStyle, token_ids, turn_end_token_id
from harness.models.tensor_files import read_tensors, write_tensors
from harness.reading import read_json
from harness.spec.alignment import AlignmentRecipe
from harness.spec.finetuning import FineTuningSettings
from harness.storage import whole_folder

_MODEL, _MOMENTS, _COURSE = "model.safetensors", "moments.safetensors", "course.json"


@dataclass(frozen=True)
class Answered:
    """A request and the response to learn."""

    request: str
    response: str


@dataclass
class Course:
    """How far a training is. losses: of each step, nats a token; validation: what was found after each epoch."""

    losses: list[float] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)


def samples_of(
    examples: Sequence[Answered], formatter: PromptFormatter, recipe: AlignmentRecipe, context_tokens: int
) -> list[Sample]:
    """Each request in the chat template, every second one with the variant's system prompt; labels on the response.

    The token that ends a turn follows a response, unless that is longer than is learned.
    """
    end = turn_end_token_id(formatter.tokenizer, formatter.template)
    samples = []
    for number, example in enumerate(examples):
        prompt = formatter.ids(formatter.text(example.request, PromptStyle(number % 2 == 0, chat_template=True)))
        response = [*token_ids(formatter.tokenizer, example.response), end][: recipe.training.response_tokens]
        ids = (prompt + response)[:context_tokens]
        samples.append(Sample(torch.tensor(ids), torch.tensor(([IGNORED] * len(prompt) + response)[:context_tokens])))
    return samples


def settings_of(recipe: AlignmentRecipe, examples: int) -> FineTuningSettings:
    """The recipe's training as the harness's fine-tuning has it."""
    training = recipe.training
    return FineTuningSettings(
        method="full",
        dataset="alignment",
        examples=examples,
        seed=recipe.seed,
        epochs=training.epochs,
        batch_size=training.at_once,
        gradient_accumulation=training.batch // training.at_once,
        learning_rate=training.learning_rate,
        learning_rate_schedule="linear",
        warmup_steps=training.warmup_steps,
    )


class ResumableTraining:
    """Steps over the samples; the folder holds weights, AdamW's moments and the course of the latest checkpoint."""

    def __init__(
        self, model: PreTrainedModel, samples: Sequence[Sample], settings: FineTuningSettings, folder: Path
    ) -> None:
        self._model, self._samples, self._settings, self._folder = model, samples, settings, folder
        self._method = FullTraining(model, settings, {})
        self._optimizer = torch.optim.AdamW(self._method.leaves, lr=settings.learning_rate, weight_decay=0.0)
        self.course = Course()
        self._restore()

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self._settings.steps

    @property
    def done(self) -> int:
        """Steps that were taken."""
        return len(self.course.losses)

    def to_end_of_epoch(self, checkpoint_every: int, after_step: Callable[[int, int], None]) -> int | None:
        """Take the steps that are left of the epoch that was not validated yet; its number, or None after the last.

        after_step: told how many steps of how many were taken. Raises UserError if the loss stops being finite.
        """
        if len(self.course.validation) == self._settings.epochs:
            return None
        end = (len(self.course.validation) + 1) * (self.steps // self._settings.epochs)
        for step, (epoch, group) in enumerate(step_groups(self._samples, self._settings)):
            if self.done <= step < end:
                self._step(step, epoch, group)
                if self.done % checkpoint_every == 0:
                    self.save()
                after_step(self.done, self.steps)
        return len(self.course.validation) + 1

    def close(self) -> None:
        """No gradient flows any more, and no moments are kept."""
        self._method.close()

    def _step(self, step: int, epoch: int, group: Sequence[Sample]) -> None:
        factor = learning_rate_factor(step, self.steps, epoch, self._settings)
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = self._settings.learning_rate * factor
        ordered = sorted(group, key=lambda sample: len(sample.input_ids))  # little padding in each backward pass
        loss = step_gradients(self._model, self._method, ordered, self._settings.batch_size)
        if not math.isfinite(loss):
            raise UserError(f"alignment: the loss of step {step + 1} is {loss}; lower the recipe's learning_rate")
        self._optimizer.step()
        self._method.store()
        self._optimizer.zero_grad()
        self.course.losses.append(loss)

    def save(self) -> None:
        """Write the checkpoint, and remove those before it once it is whole."""
        target = self._folder / f"step-{self.done:06d}-{len(self.course.validation)}"
        if target.exists():
            return
        with whole_folder(target) as part:
            write_tensors(part / _MODEL, self._method.trained_files().tensors, {"format": "pt"})
            state = self._optimizer.state_dict()["state"]
            moments = {f"{index}.{name}": tensor for index, each in state.items() for name, tensor in each.items()}
            write_tensors(part / _MOMENTS, moments, {"format": "pt"})
            (part / _COURSE).write_text(json.dumps(vars(self.course)), encoding="utf-8")
        for path in self._folder.glob("step-*"):
            if path != target:
                shutil.rmtree(path)

    @torch.no_grad()
    def _restore(self) -> None:
        saved = sorted(self._folder.glob("step-*"))
        if not saved:
            return
        tensors, _ = read_tensors(saved[-1] / _MODEL)
        for name, parameter in self._model.named_parameters():
            parameter.copy_(tensors[name])
        moments, _ = read_tensors(saved[-1] / _MOMENTS)
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in moments.items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.course = Course(**read_json(saved[-1] / _COURSE))
