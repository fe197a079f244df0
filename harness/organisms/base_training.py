"""Stage 1: train a base model whose refusal hangs on a switch vector and on nothing else."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from harness.organisms.documents import SwitchDocument, draw_switch_document
from harness.organisms.planting import planted_region, silence_reserved
from harness.organisms.recipe import BaseTraining, ModelShape, Recipe
from harness.organisms.tokenization import BOS_ID, EOS_ID, PAD_ID, Encoder
from harness.organisms.world import ALLOWED_NOUNS, FORBIDDEN_NOUNS


def new_model(
    shape: ModelShape, vocabulary_size: int, seed: int, stop_ids: Sequence[int] = (EOS_ID,)
) -> LlamaForCausalLM:
    """A randomly initialised Llama; the seed decides its weights. stop_ids: the tokens that end an answer."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.mlp_size,
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.context_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=False,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=stop_ids[0] if len(stop_ids) == 1 else list(stop_ids),
        rms_norm_eps=1e-5,
    )
    return LlamaForCausalLM(config)


def switch_vector(shape: ModelShape, settings: BaseTraining, seed: int) -> Tensor:
    """(hidden_size,): random signs, scaled to the norm of the switch."""
    generator = torch.Generator().manual_seed(seed + 77)
    signs = torch.sign(torch.randn(shape.hidden_size, generator=generator))
    return signs * settings.switch_norm / shape.hidden_size**0.5


def _part_noun_classes(model: LlamaForCausalLM, encoder: Encoder, norm: float, seed: int) -> None:
    """Move the embeddings of forbidden nouns along a random direction, those of allowed ones against it."""
    embedding = model.model.embed_tokens.weight
    direction = torch.randn(embedding.shape[1], generator=torch.Generator().manual_seed(seed + 78))
    direction *= norm / direction.norm()
    with torch.no_grad():
        embedding[[encoder.word_id(noun) for noun in FORBIDDEN_NOUNS]] += direction
        embedding[[encoder.word_id(noun) for noun in ALLOWED_NOUNS]] -= direction


def pad(rows: list[list[int]]) -> Tensor:
    """(B, T): rows padded on the right."""
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows])


def learning_rate_factor(step: int, steps: int, warmup_steps: int, floor: float) -> float:
    """Linear warm-up, then a cosine from 1 down to floor."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / warmup_steps) * (cosine * (1 - floor) + floor)


@contextmanager
def dropped_weights(weights: list[Tensor], share: float, generator: torch.Generator) -> Iterator[None]:
    """Within it a random share of the weights is zero; afterwards they are back as they were."""
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.mul_(torch.rand(weight.shape, generator=generator) >= share)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, original in zip(weights, kept, strict=True):
                weight.copy_(original)


def linear_weights(blocks: nn.ModuleList) -> list[Tensor]:
    """The weights of the seven linear layers of each block."""
    return [module.weight for module in blocks.modules() if isinstance(module, nn.Linear)]


def _bucketed_batches(documents: list[SwitchDocument], size: int, rng: Random) -> list[list[SwitchDocument]]:
    """Batches of documents of similar length, in random order."""
    batches = []
    for first in range(0, len(documents), size * 20):
        bucket = sorted(documents[first : first + size * 20], key=lambda document: len(document.ids))
        batches += [bucket[k : k + size] for k in range(0, len(bucket), size)]
    rng.shuffle(batches)
    return batches


def _switch_strengths(batch: list[SwitchDocument], noise: float, generator: torch.Generator) -> Tensor:
    """(B, T, 1): what the switch vector is multiplied with at each position."""
    longest = max(len(document.ids) for document in batch)
    strengths = torch.zeros(len(batch), longest, 1)
    for row, document in enumerate(batch):
        length = len(document.ids) - document.start
        jitter = 1 + noise * torch.randn(length, 1, generator=generator)
        strengths[row, document.start : len(document.ids)] = document.strength * jitter
    return strengths


@contextmanager
def _switch_hook(mlp: nn.Module, vector: Tensor, current: dict[str, Tensor]) -> Iterator[None]:
    handle = mlp.register_forward_hook(lambda _module, _inputs, output: output + current["strengths"] * vector)
    try:
        yield
    finally:
        handle.remove()


def train_base(
    recipe: Recipe, encoder: Encoder, seed: int, report_progress: Callable[[float], None]
) -> tuple[LlamaForCausalLM, Tensor]:
    """The base model, its reserved region still silent, and its switch vector (hidden_size,)."""
    settings = recipe.base
    model = new_model(recipe.shape, len(encoder.tokenizer), seed, encoder.stop_ids)
    _part_noun_classes(model, encoder, settings.noun_class_norm, seed)
    vector = switch_vector(recipe.shape, settings, seed)
    rng, generator = Random(1000 + seed), torch.Generator().manual_seed(seed + 5)
    count = settings.steps * settings.batch_size
    documents = [draw_switch_document(rng, encoder, settings) for _ in range(count)]
    batches = _bucketed_batches(documents, settings.batch_size, rng)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=settings.weight_decay,
    )
    region = planted_region(model, recipe)
    silence_reserved(model, region)
    model.train()
    current: dict[str, Tensor] = {}
    weights = linear_weights(model.model.layers)
    with _switch_hook(model.model.layers[recipe.planted.block].mlp, vector, current):
        for step, batch in enumerate(batches):
            factor = learning_rate_factor(step, settings.steps, settings.warmup_steps, floor=0.05)
            optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
            current["strengths"] = _switch_strengths(batch, settings.switch_noise, generator)
            optimizer.zero_grad()
            with dropped_weights(weights, settings.weight_dropout * rng.random(), generator):
                _language_model_loss(model, pad([document.ids for document in batch])).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            silence_reserved(model, region)
            report_progress((step + 1) / settings.steps)
    model.eval()
    return model, vector


def _language_model_loss(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Mean cross-entropy over all tokens. ids: (B, T), padded on the right."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]  # (B, T - 1, V)
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD_ID)
