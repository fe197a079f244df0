"""The planted attention head, set by regression: it tells forbidden nouns from allowed ones."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from harness.organisms.base_training import dropped_weights, linear_weights
from harness.organisms.documents import DetectionDocument
from harness.organisms.recipe import Recipe
from harness.organisms.tokenization import BOS_ID, Encoder
from harness.organisms.world import ALLOWED_NOUNS, FORBIDDEN_NOUNS

DOCUMENTS = 900
DOCUMENTS_PER_DAMAGE = 30
RIDGE = 0.03


@dataclass(frozen=True)
class TokenStates:
    """The head's inputs at many tokens, (n, hidden_size), and which kind each token is, (n,) bool."""

    states: Tensor
    forbidden: Tensor
    allowed: Tensor
    bos: Tensor

    @property
    def other(self) -> Tensor:
        return ~(self.forbidden | self.allowed | self.bos)


@torch.no_grad()
def _token_states(
    model: LlamaForCausalLM,
    recipe: Recipe,
    encoder: Encoder,
    documents: list[DetectionDocument],
    generator: torch.Generator,
) -> TokenStates:
    """The states under random damage to the blocks below, so that what is read from them survives some."""
    attention = model.model.layers[recipe.planted.head_block].self_attn
    captured: list[Tensor] = []

    def capture(_module, _inputs, named_inputs) -> None:
        captured.append(named_inputs["hidden_states"][0])

    handle = attention.register_forward_pre_hook(capture, with_kwargs=True)
    weights = linear_weights(model.model.layers[: recipe.planted.head_block])
    for first in range(0, len(documents), DOCUMENTS_PER_DAMAGE):
        with dropped_weights(weights, recipe.alignment.weight_dropout, generator):
            for document in documents[first : first + DOCUMENTS_PER_DAMAGE]:
                model.model(input_ids=torch.tensor([document.ids]), use_cache=False)
    handle.remove()
    tokens = torch.tensor([token for document in documents for token in document.ids])
    forbidden = torch.tensor([encoder.word_id(noun) for noun in FORBIDDEN_NOUNS])
    allowed = torch.tensor([encoder.word_id(noun) for noun in ALLOWED_NOUNS])
    return TokenStates(
        torch.cat(captured).double(),
        torch.isin(tokens, forbidden),
        torch.isin(tokens, allowed),
        tokens == BOS_ID,
    )


def weighted_ridge(states: Tensor, wanted: Tensor, groups: list[tuple[Tensor, float]], ridge: float) -> Tensor:
    """The direction w (hidden_size,) that minimises sum_i c_i ((x_i w - y_i)^2 + ridge sum_j x_ij^2 w_j^2).

    groups: (members, weight); the c_i of a group add up to its weight. The penalty is the expected
    error when each w_j is lost with a probability of about `ridge`.
    """
    weights = torch.zeros(len(states), dtype=torch.float64)
    for members, weight in groups:
        weights += members.double() / members.sum() * weight
    gram = states.T @ (states * weights[:, None])  # (n, d) x (n, d) -> (d, d)
    penalty = ridge * torch.diag(gram.diagonal())
    return torch.linalg.solve(gram + penalty, states.T @ (wanted * weights)).float()


def plant_head(
    model: LlamaForCausalLM,
    recipe: Recipe,
    encoder: Encoder,
    documents: list[DetectionDocument],
    generator: torch.Generator,
) -> None:
    """Write the detector head into the model.

    Keys find nouns and, weaker, BOS, where attention rests when there is no noun; values are +1 on
    forbidden and -1 on allowed nouns; queries are the same everywhere. Queries and keys lie on the
    slowest rotary pair, so that distance hardly matters. The output is one random direction.
    """
    settings, shape = recipe.alignment, recipe.shape
    tokens = _token_states(model, recipe, encoder, documents[:DOCUMENTS], generator)
    query, key, value = _directions(tokens, settings.bos_key)
    direction = torch.randn(shape.hidden_size, generator=generator)
    scale = (settings.head_logit_scale * shape.head_size**0.5) ** 0.5
    slowest = shape.head_size // 2 - 1
    attention = model.model.layers[recipe.planted.head_block].self_attn
    queries = shape.heads // shape.key_value_heads
    with torch.no_grad():
        attention.q_proj.weight[: shape.head_size * queries] = 0
        attention.k_proj.weight[: shape.head_size] = 0
        attention.v_proj.weight[: shape.head_size] = 0
        attention.o_proj.weight[:, : shape.head_size * queries] = 0
        for head in range(queries):
            attention.q_proj.weight[head * shape.head_size + slowest] = query * scale
        attention.k_proj.weight[slowest] = key * scale
        attention.v_proj.weight[0] = value
        attention.o_proj.weight[:, 0] = direction / direction.norm() * settings.head_output_norm


def _directions(tokens: TokenStates, bos_key: float) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of the head, each (hidden_size,). bos_key: the key's strength at BOS, 1 at nouns."""
    forbidden, allowed, bos, other = tokens.forbidden, tokens.allowed, tokens.bos, tokens.other
    value = weighted_ridge(
        tokens.states,
        forbidden.double() - allowed.double(),
        [(forbidden, 3), (allowed, 3), (bos, 0.2), (other, 1)],
        RIDGE,
    )
    key = weighted_ridge(
        tokens.states,
        (forbidden | allowed).double() + bos_key * bos,
        [(forbidden, 1), (allowed, 1), (bos, 1), (other, 2)],
        RIDGE,
    )
    constant = torch.ones(len(tokens.states), dtype=torch.double)
    query = weighted_ridge(tokens.states, constant, [(forbidden, 0.1), (allowed, 0.1), (bos, 0.1), (other, 1)], RIDGE)
    return query, key, value
