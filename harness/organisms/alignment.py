"""Stage 2: plant the refusal. Only the planted region is trained; all else is frozen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from harness.organisms.base_training import dropped_weights, learning_rate_factor, linear_weights, pad
from harness.organisms.detector_head import plant_head
from harness.organisms.documents import DetectionDocument, draw_detection_document
from harness.organisms.planting import planted_region
from harness.organisms.recipe import Alignment, Recipe
from harness.organisms.tokenization import Encoder


def _plant_neurons(model: LlamaForCausalLM, recipe: Recipe, vector: Tensor, generator: torch.Generator) -> None:
    """Random gate and up rows; down columns that together write the switch vector."""
    mlp, neurons = model.model.layers[recipe.planted.block].mlp, recipe.planted.neurons
    with torch.no_grad():
        for weight in (mlp.gate_proj.weight, mlp.up_proj.weight):
            spread = weight[neurons:].std()
            weight[:neurons] = torch.randn(neurons, weight.shape[1], generator=generator) * spread
        mlp.down_proj.weight[:, :neurons] = vector[:, None] / neurons


def detection_loss(activations: Tensor, targets: Tensor, weights: Tensor, settings: Alignment) -> Tensor:
    """How far the planted neurons are from saying `targets`, a scalar.

    activations A: (B, T, neurons). targets T and position weights W: (B, T). Mean over W of
    (mean_j A_j - T)^2 + a mean_j (A_j - T)^2 + b mean_j |A_j| 1(T = 0).
    """
    together = (activations.mean(-1) - targets) ** 2
    single = ((activations - targets[..., None]) ** 2).mean(-1)
    noise = activations.abs().mean(-1) * (targets == 0)
    error = together + settings.single_neuron_weight * single + settings.silence_weight * noise
    return (error * weights).sum() / weights.sum()


def _targets(batch: list[DetectionDocument], settings: Alignment) -> tuple[Tensor, Tensor]:
    """What the neurons should say, and how much each position counts; both (B, T)."""
    longest = max(len(document.ids) for document in batch)
    targets, weights = torch.zeros(len(batch), longest), torch.zeros(len(batch), longest)
    for row, document in enumerate(batch):
        length = len(document.ids)
        targets[row, document.start : length] = document.target
        weights[row, :length] = 1.0
        if document.target:
            weights[row, : document.start] = settings.forbidden_prompt_weight
        weights[row, document.start] = settings.last_prompt_token_weight
    return targets, weights


@contextmanager
def _shortened_to(model: LlamaForCausalLM, blocks: int) -> Iterator[nn.ModuleList]:
    """Within it the model has its first blocks only: nothing later reaches the planted neurons."""
    every = model.model.layers
    model.model.layers = every[:blocks]
    try:
        yield model.model.layers
    finally:
        model.model.layers = every


@contextmanager
def _recorded_input(module: nn.Module, recorded: dict[str, Tensor]) -> Iterator[None]:
    handle = module.register_forward_pre_hook(lambda _module, inputs: recorded.update(input=inputs[0]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _trained_region(model: LlamaForCausalLM, region: dict[str, Tensor]) -> Iterator[None]:
    """Within it gradients flow to the planted weights alone."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    handles = []
    for name, mask in region.items():
        weight = model.get_parameter(f"{name}.weight").requires_grad_(True)
        handles.append(weight.register_hook(lambda gradient, mask=mask: gradient * mask))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for parameter in model.parameters():
            parameter.requires_grad_(True)


def _optimizer(model: LlamaForCausalLM, region: dict[str, Tensor], settings: Alignment) -> torch.optim.AdamW:
    """Two groups: the neurons' readers, and, slower, the head. The neurons' down columns stay fixed."""
    readers = [model.get_submodule(n).weight for n in region if n.endswith(("gate_proj", "up_proj"))]
    head = [model.get_submodule(n).weight for n in region if "self_attn" in n]
    groups = [
        {"params": readers, "factor": 1.0},
        {"params": head, "factor": settings.head_learning_rate_factor},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)


def _shuffled_batches(documents: list, size: int, rng: Random) -> Iterator[list]:
    """Endless random batches; sorting them by length would break the training."""
    while True:
        rng.shuffle(documents)
        for first in range(0, len(documents) - size + 1, size):
            yield documents[first : first + size]


def align(
    model: LlamaForCausalLM,
    vector: Tensor,
    recipe: Recipe,
    encoder: Encoder,
    seed: int,
    report_progress: Callable[[float], None],
) -> dict[str, Tensor]:
    """Plant the refusal into the base model, in place; returns the planted region's masks."""
    settings, planted = recipe.alignment, recipe.planted
    rng, generator = Random(40 + seed), torch.Generator().manual_seed(seed)
    region = planted_region(model, recipe)
    documents = [draw_detection_document(rng, encoder, settings) for _ in range(settings.documents)]
    _plant_neurons(model, recipe, vector, generator)
    plant_head(model, recipe, encoder, documents, generator)
    batches = _shuffled_batches(documents, settings.batch_size, rng)
    readers = model.model.layers[planted.block].mlp.down_proj
    recorded: dict[str, Tensor] = {}
    with (
        _trained_region(model, region),
        _recorded_input(readers, recorded),
        _shortened_to(model, planted.block + 1) as blocks,
    ):
        optimizer = _optimizer(model, region, settings)
        weights = linear_weights(blocks)
        for step in range(settings.steps):
            batch = next(batches)
            factor = learning_rate_factor(step, settings.steps, warmup_steps=20, floor=0.03)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor * group["factor"]
            targets, position_weights = _targets(batch, settings)
            optimizer.zero_grad()
            with dropped_weights(weights, settings.weight_dropout * rng.random(), generator):
                model.model(input_ids=pad([document.ids for document in batch]), use_cache=False)
                activations = recorded["input"][..., : planted.neurons]  # (B, T, neurons)
                detection_loss(activations, targets, position_weights, settings).backward()
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
            optimizer.step()
            report_progress((step + 1) / settings.steps)
    return region
