"""LoRA with frozen weights: the effective weight is W₀ + (1 − M) ∘ (s·BA), in training and after the merge.

The reproduction's code froze whole rows of B wherever one weight of the row was selected, and every
hook used the rows of the last layer. Here M masks the product BA entry by entry, and each layer
module holds its own M.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from harness.finetuning.training import ADAPTER, ADAPTER_CONFIG, KEY_PREFIX, TrainedFiles
from harness.models.layers import layer_type, linear_layers
from harness.spec.finetuning import FineTuningSettings

_ADAPTER = "default"


class MaskedLoraLinear(LoraLinear):
    """PEFT's LoRA layer with the update of frozen entries set to 0.

    frozen: (d_out, d_in) bool M, or None. A, B and the update are float32 whatever the layer's dtype.
    """

    frozen: Tensor | None = None

    def masked_update(self) -> Tensor:
        """(1 − M) ∘ (s·BA), (d_out, d_in) float32."""
        update = self.get_delta_weight(_ADAPTER)
        return update if self.frozen is None else update.masked_fill(self.frozen, 0.0)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """W₀ x + ((1 − M) ∘ (s·BA)) x: the two products are added, so that no update is rounded away.

        The update is formed again in the backward pass: kept, all layers' updates would take as much
        memory as a float32 model.
        """
        if self.frozen is None:
            return super().forward(x, *args, **kwargs)
        result = self.base_layer(x)
        moved = checkpoint(self._apply_update, x.float(), use_reentrant=False, preserve_rng_state=False)
        return result + moved.to(result.dtype)

    def _apply_update(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.masked_update())  # (B, T, d_in) -> (B, T, d_out)


class LoraTraining:
    """Trains adapters on the linear layers of the given types. See harness.finetuning.training.Method."""

    def __init__(
        self, model: PreTrainedModel, settings: FineTuningSettings, frozen_masks: Mapping[str, Tensor]
    ) -> None:
        if settings.lora is None:
            raise ValueError("the method lora has no adapter settings")
        chosen = [name for name in linear_layers(model) if layer_type(name) in settings.lora.layer_types]
        config = LoraConfig(
            r=settings.lora.r,
            lora_alpha=settings.lora.alpha,  # type: ignore[arg-type]  # PEFT only divides it by r
            target_modules=chosen,
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
        )
        config._register_custom_module({nn.Linear: MaskedLoraLinear})  # PEFT's documented way to a layer of one's own
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self._peft = get_peft_model(model, config)
        self._layers = {name: cast(MaskedLoraLinear, model.get_submodule(name)) for name in chosen}
        for name, layer in self._layers.items():
            mask = frozen_masks.get(name)
            layer.frozen = None if mask is None else mask.to(layer.weight.device)
        self.trained = {f"{name}.weight": layer.frozen for name, layer in self._layers.items()}
        self.leaves = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def collect_gradients(self) -> None:
        """Nothing to do: the mask stands in the forward pass, so that gradients respect it."""

    def store(self) -> None:
        """Nothing to do: the adapters are part of the model."""

    @torch.no_grad()
    def merge(self) -> None:
        """W₀ becomes W₀ + update, added in float32 and rounded once.

        An entry whose update is 0 keeps its bits: −0 + 0 would be +0.
        """
        for layer in self._layers.values():
            weight, update = layer.weight, layer.masked_update()
            merged = (weight.float() + update).to(weight.dtype)
            weight.copy_(torch.where(update == 0, weight, merged))

    @torch.no_grad()
    def update(self, name: str, before: Tensor) -> Tensor:
        """(1 − M) ∘ (s·BA) of the parameter's layer."""
        return self._layers[name.removesuffix(".weight")].masked_update()

    def trained_files(self) -> TrainedFiles:
        """A and B of every layer as PEFT saves them; the configuration names no base model, whose path is private."""
        tensors = {
            f"{KEY_PREFIX}.{name}.lora_{x}.weight": getattr(layer, f"lora_{x}")[_ADAPTER].weight.detach()
            for name, layer in self._layers.items()
            for x in "AB"
        }
        config = self._peft.peft_config[_ADAPTER].to_dict() | {"base_model_name_or_path": None, "inference_mode": True}
        plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        return TrainedFiles(ADAPTER, tensors, {ADAPTER_CONFIG: plain})

    def close(self) -> None:
        """The layers are the model's own again."""
        self._peft.unload()
