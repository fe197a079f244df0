"""GPU memory by phase, on one card: what lies there at the same time, and whether it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.calibration.stream import BATCH_TOKENS
from harness.engines.base import CACHE_SHARE_OF_FREE_DEVICE_MEMORY, SCORED_TOKENS_PER_BATCH
from harness.formulas.importance import EXAMPLES_AT_ONCE_ON_GPU
from harness.formulas.memory import (
    FLOAT32,
    FLOAT64,
    LlamaShape,
    activation_bytes,
    gram_bytes,
    gram_product_bytes,
    key_value_bytes,
    layer_gradient_bytes,
    logit_bytes,
    score_bytes,
)
from harness.models.placement import USABLE_SHARE, leaves_room
from harness.planning.rates import Card
from harness.spec.finetuning import FineTuningSettings
from harness.spec.layers import LAYER_TYPES

#: Bytes of a parameter by dtype.
ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
#: The CUDA context, and what libraries keep for themselves.
CONTEXT_BYTES = 1_500_000_000


@dataclass(frozen=True)
class Phase:
    """What lies on the card at once in a phase, in bytes by what it is. spilled: what lies on the CPU instead."""

    name: str
    on_card: dict[str, int]
    spilled: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """All of it on the card."""
        return sum(self.on_card.values())


@dataclass(frozen=True)
class Model:
    """What decides a model's memory. Tokens of one text: prompt and answer, at most."""

    shape: LlamaShape
    itemsize: int
    text_tokens: int

    @property
    def weight_bytes(self) -> int:
        """All parameters in the model's dtype."""
        return self.shape.parameters * self.itemsize


def usable_bytes(card: Card) -> int:
    """Memory of a card that tensors may take."""
    return int(card.memory_bytes.value) - CONTEXT_BYTES


def backward_scores(methods: str, model: Model, card: Card, set_tokens: int) -> Phase:
    """Sums of gradients of all weights in float32 beside the activations of one batch, as SNIP needs them."""
    shape, tokens = model.shape, min(BATCH_TOKENS, set_tokens)
    parts = {
        "activations of a batch": activation_bytes(shape, tokens, model.itemsize),
        "logits": logit_bytes(shape, tokens, model.itemsize, backward=True),
        "gradients of one layer": layer_gradient_bytes(shape, EXAMPLES_AT_ONCE_ON_GPU),
    }
    return _with_sums(f"scores by {methods}", model, card, {"scores": score_bytes(shape)}, parts)


def gram_matrices(model: Model, card: Card, set_tokens: int) -> Phase:
    """Grams of all inputs in float64 beside a pass through one block."""
    tokens = min(BATCH_TOKENS, set_tokens)
    parts = {
        "activations of a block": activation_bytes(model.shape, tokens, model.itemsize) // model.shape.blocks,
        "product of a batch": gram_product_bytes(model.shape, tokens),
    }
    return _with_sums("Grams of ActSVD", model, card, {"Grams": gram_bytes(model.shape)}, parts)


def _with_sums(name: str, model: Model, card: Card, sums: dict[str, int], parts: dict[str, int]) -> Phase:
    """Sums lie on the card where harness.models.placement would leave them there."""
    weights = {"weights": model.weight_bytes}
    free = usable_bytes(card) - model.weight_bytes
    if leaves_room(free, sum(sums.values()), sum(parts.values())):
        return Phase(name, {**weights, **sums, **parts})
    return Phase(name, {**weights, **parts}, sums)


def directions(model: Model) -> Phase:
    """Leading directions of the widest layer, in float64."""
    rows, columns = max(model.shape.layer_shapes, key=lambda shape: shape[1])
    parts = {"Gram of one layer": columns**2 * FLOAT64, "its weights and products": 4 * rows * columns * FLOAT64}
    return Phase("directions of one layer", {"weights": model.weight_bytes, **parts})


def forward_scores(methods: str, model: Model, set_tokens: int) -> Phase:
    """Sums over inputs, as Wanda's norms, and the scores of one layer after another."""
    tokens = min(BATCH_TOKENS, set_tokens)
    parts = {
        "activations of a block": activation_bytes(model.shape, tokens, model.itemsize) // model.shape.blocks,
        "scores of one layer": layer_gradient_bytes(model.shape, 0),
    }
    return Phase(f"scores by {methods}", {"weights": model.weight_bytes, **parts})


def generation(model: Model, card: Card, texts: int, texts_at_once: int) -> Phase:
    """Keys and values of as many texts as are generated at once, of which at least one has to fit."""
    one = key_value_bytes(model.shape, model.text_tokens, model.itemsize)
    room = (usable_bytes(card) - model.weight_bytes) * CACHE_SHARE_OF_FREE_DEVICE_MEMORY
    rows = max(1, min(texts, texts_at_once, int(room // one)))
    choice = rows * model.shape.vocabulary * (model.itemsize + FLOAT32 + 2 * FLOAT64)
    return Phase(
        f"generating {rows} texts at once",
        {"weights": model.weight_bytes, "keys and values": rows * one, "logits": choice},
    )


def scoring(model: Model) -> Phase:
    """Log-likelihoods: a batch through one block after another, and the logits of one text."""
    per_block = activation_bytes(model.shape, SCORED_TOKENS_PER_BATCH, model.itemsize) // model.shape.blocks
    logits = logit_bytes(model.shape, model.text_tokens, model.itemsize, backward=False)
    return Phase(
        "scoring texts", {"weights": model.weight_bytes, "activations of a block": per_block, "logits": logits}
    )


def fine_tuning(model: Model, settings: FineTuningSettings, pair_tokens: int) -> Phase:
    """Adam's states and float32 masters of what trains, its gradients, and the activations of a batch.

    pair_tokens: of an example on average.
    """
    tokens = max(1, min(settings.batch_size, settings.examples)) * min(pair_tokens, settings.max_tokens)
    parts = {
        "activations of a batch": activation_bytes(model.shape, tokens, model.itemsize),
        "logits": logit_bytes(model.shape, tokens, model.itemsize, backward=True),
    }
    trained = trained_parameters(model.shape, settings)
    if settings.method == "full" and model.itemsize != FLOAT32:
        parts |= {"gradients in 16 bits": trained * model.itemsize, "float32 masters": trained * FLOAT32}
    elif settings.method == "lora":
        parts |= {"adapters": trained * FLOAT32}
    parts |= {"gradients": trained * FLOAT32, "Adam's moments": 2 * trained * FLOAT32}
    if settings.frozen is not None:
        parts |= {"frozen masks": model.shape.linear_weights}
        held = getattr(settings.frozen, "fraction", 0.0) if settings.method == "full" else 0.0
        parts |= {"frozen values": int(held * model.shape.linear_weights) * FLOAT32}
    return Phase(f"fine-tuning ({settings.method})", {"weights": model.weight_bytes, **parts})


def trained_parameters(shape: LlamaShape, settings: FineTuningSettings) -> int:
    """Number of parameters that train."""
    if settings.method == "full":
        return shape.parameters if settings.parameters == "all" else shape.linear_weights
    chosen = [
        sizes
        for kind, sizes in zip(LAYER_TYPES, shape.layer_shapes, strict=True)
        if settings.lora is not None and kind in settings.lora.layer_types
    ]
    return shape.blocks * sum(settings.lora.r * sum(sizes) for sizes in chosen) if settings.lora else 0


def fits(phases: Sequence[Phase], card: Card) -> bool:
    """Whether every phase has room on the card."""
    return all(phase.bytes <= usable_bytes(card) for phase in phases)


def cards_needed(phase: Phase, card: Card) -> int:
    """Cards of this kind among which the weights, keys and values of a phase would have to be split."""
    return next((n for n in (2, 4, 8) if phase.bytes / n <= USABLE_SHARE * usable_bytes(card)), 0)
