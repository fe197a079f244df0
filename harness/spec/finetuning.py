"""Fine-tuning as a spec declares it: on what, how, and which weights may not move."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from harness.spec.common import MOST, Declared, Share
from harness.spec.layers import LAYER_TYPES, LayerType
from harness.spec.region import WeightRegion

Method = Literal["full", "lora"]


class LoraSettings(Declared):
    """Low-rank adapters W₀ + (alpha / r)·BA on the layers of `layer_types` in every block.

    Source of r and alpha: the reproduction report's extension 1. It adapted q, v and o only, so that
    most of the weights whose movement it measured could not move; here all seven are the default.
    """

    r: int = Field(default=8, gt=0)
    alpha: float = Field(default=16.0, gt=0.0)
    layer_types: tuple[LayerType, ...] = Field(default=LAYER_TYPES, min_length=1)


class FineTuningSettings(Declared):
    """AdamW (torch's betas 0.9, 0.999 and eps 1e-8) on `examples` pairs of `dataset`, drawn with `seed`.

    The paper (section 4.4) follows Qi et al. 2023 and states no settings. The defaults below marked
    Qi are those of their code for a few examples (llama2/tier1-*.ipynb and configs/training.py of
    LLM-Tuning-Safety/LLMs-Finetuning-Safety); "choice" has no source.

    method: `full` trains every parameter, `lora` the adapters of `lora`.
    examples: 0 takes no step, a control. seed: draws the pairs, their order and the adapters (choice: 0).
    epochs: 5 (Qi). batch_size: pairs in one backward pass: 10 (Qi: 5 on each of two processes).
    gradient_accumulation: backward passes in one step: 1 (Qi). The loss of a step is the mean over all
        of its response tokens, so that batches of 4 accumulated 4 times are one batch of 16 (choice);
        a last batch that is not full counts as well (choice; Qi drops it).
    learning_rate: 5e-5 (Qi). weight_decay: 0 (Qi). It never reaches a frozen weight.
    learning_rate_schedule: `epoch_decay` multiplies by `epoch_decay` after each epoch: 0.85 (Qi);
        `linear` falls to 0, as transformers' Trainer does; `constant`. warmup_steps: 0 (Qi).
    maximum_gradient_norm: none (Qi); 1.0 is what transformers' Trainer takes.
    max_tokens: longer pairs are cut: 512 (Stanford Alpaca). The variant's context caps it.
    parameters: `all` (the paper: "fine-tune" without a restriction): embeddings, norms and head train too, and since
        regions hold weights of the linear layers only, nothing of these is ever frozen;
        `linear_layers` trains nothing else. Of `full` only.
    frozen: a region of the model before fine-tuning; its weights stay as they are in every bit.
    checkpoint_every: what was trained is saved after each so many steps, and after no other one (the report: 500);
        a fine-tuning without steps saves the start. Of `lora` the adapters, of `full` all that trains, in float32.
    """

    method: Method
    dataset: str
    examples: int = Field(ge=0, le=MOST)
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=5, gt=0)
    batch_size: int = Field(default=10, gt=0)
    gradient_accumulation: int = Field(default=1, gt=0)
    learning_rate: float = Field(default=5e-5, gt=0.0, allow_inf_nan=False)
    learning_rate_schedule: Literal["epoch_decay", "linear", "constant"] = "epoch_decay"
    epoch_decay: Share = 0.85
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    maximum_gradient_norm: float | None = Field(default=None, gt=0.0)
    max_tokens: int = Field(default=512, gt=1)
    parameters: Literal["all", "linear_layers"] = "all"
    lora: LoraSettings | None = None
    frozen: WeightRegion | None = None
    checkpoint_every: int | None = Field(default=None, gt=0)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole fine-tuning."""
        return self.epochs * math.ceil(self.examples / (self.batch_size * self.gradient_accumulation))

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps after which a checkpoint is saved; 0 is the start."""
        if self.checkpoint_every is None:
            return []
        return list(range(self.checkpoint_every, self.steps + 1, self.checkpoint_every)) if self.steps else [0]

    @model_validator(mode="after")
    def adapters_belong_to_lora(self) -> FineTuningSettings:
        """`lora` is there exactly where the method is."""
        if self.method == "lora" and self.lora is None:
            raise ValueError("the method lora needs a section lora: {r: 8, alpha: 16}")
        if self.method == "full" and self.lora is not None:
            raise ValueError("lora is given, but the method is full")
        if self.method == "lora" and self.parameters != "all":
            raise ValueError("parameters is for the method full; lora.layer_types says what adapters train")
        return self


class FineTuningOverrides(Declared):
    """What a variant sets instead of a spec's values, where a model needs its own scale.

    A model of a million parameters does not move at the learning rate of one of seven billion. The
    spec keeps the paper's values; the receipt of a cell holds the settings as they ran. A fine-tuning of
    0 examples, the control that takes no step, keeps them, and one without checkpoints goes on without.
    """

    examples: int | None = Field(default=None, gt=0)
    learning_rate: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    epochs: int | None = Field(default=None, gt=0)
    batch_size: int | None = Field(default=None, gt=0)
    checkpoint_every: int | None = Field(default=None, gt=0)

    def applied_to(self, settings: FineTuningSettings) -> FineTuningSettings:
        """The settings with this variant's values in them."""
        values = self.model_dump(exclude_none=True)
        if settings.examples == 0:
            values.pop("examples", None)
        if settings.checkpoint_every is None:
            values.pop("checkpoint_every", None)
        return settings.model_copy(update=values)
