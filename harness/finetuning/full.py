"""Full-parameter training by masking the update: frozen entries stay as they are in every bit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.finetuning.training import WEIGHTS, TrainedFiles
from harness.models.layers import linear_layers
from harness.spec.finetuning import FineTuningSettings


class FullTraining:
    """Trains all parameters, or those of the linear layers, in float32 whatever the model's dtype.

    A float32 model's own parameters are the leaves. Otherwise each parameter has a float32 master, to
    which the gradients of every backward pass are added and from which it is rounded after every step:
    updates too small for the model's dtype add up instead of getting lost.
    See harness.finetuning.training.Method.
    """

    def __init__(
        self, model: PreTrainedModel, settings: FineTuningSettings, frozen_masks: Mapping[str, Tensor]
    ) -> None:
        linear = {f"{name}.weight" for name in linear_layers(model)}
        self._parameters = {
            name: parameter
            for name, parameter in model.named_parameters()
            if settings.parameters == "all" or name in linear
        }
        self.trained: dict[str, Tensor | None] = dict.fromkeys(self._parameters)
        for layer, mask in frozen_masks.items():
            self.trained[f"{layer}.weight"] = mask.to(self._parameters[f"{layer}.weight"].device)
        for parameter in self._parameters.values():
            parameter.requires_grad_(True)
        self._masters = {name: _float32(parameter) for name, parameter in self._parameters.items()}
        self._frozen_values = {
            name: self._masters[name].detach()[mask].clone() for name, mask in self.trained.items() if mask is not None
        }
        self.leaves = list(self._masters.values())

    @torch.no_grad()
    def collect_gradients(self) -> None:
        """Masters get their gradients in float32; Adam's moments of a frozen entry never leave 0."""
        for name, parameter in self._parameters.items():
            master, mask = self._masters[name], self.trained[name]
            if parameter is not master and parameter.grad is not None:
                gradient = parameter.grad.float()
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                parameter.grad = None
            if mask is not None and master.grad is not None:
                master.grad[mask] = 0

    @torch.no_grad()
    def store(self) -> None:
        """Put frozen entries back, since weight decay moves them without a gradient; round into the model."""
        for name, parameter in self._parameters.items():
            master, mask = self._masters[name], self.trained[name]
            if mask is not None:
                master[mask] = self._frozen_values[name]
            if parameter is not master:
                parameter.copy_(master)

    def merge(self) -> None:
        """Nothing is left to do: every step stores its result."""

    @torch.no_grad()
    def update(self, name: str, before: Tensor) -> Tensor:
        """Master minus the weight before, in float32."""
        return self._masters[name].detach() - before.to(self._masters[name].device).float()

    def trained_files(self) -> TrainedFiles:
        """The float32 values of every parameter that trains."""
        return TrainedFiles(WEIGHTS, {name: master.detach() for name, master in self._masters.items()})

    def close(self) -> None:
        """No gradient is kept and none will flow."""
        for parameter in self._parameters.values():
            parameter.grad = None
            parameter.requires_grad_(False)


def _float32(parameter: nn.Parameter) -> nn.Parameter:
    """The parameter itself where it is float32, or a float32 copy."""
    return parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())
