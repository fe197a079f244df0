"""What is timed against what: for each method a plain pass, the harness, the published algorithm, and a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bench import published_algorithms as published
from bench.agreement import (
    DisagreementError,
    require_caught_energy,
    require_equal_scores,
    require_same_subspace,
)
from harness.attribution._gradient_sums import example_losses
from harness.calibration.pairs import Sample, batches
from harness.formulas.subspace import LowRankFactors, direction_count, leading_directions
from harness.low_rank.grams import one_shot_grams
from harness.models.layers import linear_layers, transformer_blocks
from harness.regions import orthogonal_projection as projection
from harness.runs.scoring import one_shot_scores
from harness.spec.region import AttributionSettings

SETTINGS = AttributionSettings()
ACT_SVD_RANK = 8
#: Ranks that the projectors keep (R − r_s, R − r_u). The paper keeps 6 and 146 of 4096.
SAFETY_RANK, UTILITY_RANK = 4, 8


@dataclass(frozen=True)
class Contest:
    """One method on one model.

    plain_pass: one pass over the data that only computes, in batches of at most so many tokens: 1 gives one
    example at a time. check: takes the results of ours and of theirs and raises DisagreementError.
    """

    method: str
    plain_pass: Callable[[int], None]
    ours: Callable[[], object]
    theirs: Callable[[], object]
    check: Callable[[object, object], None]


def contests(model: PreTrainedModel, safety: Sequence[Sample], utility: Sequence[Sample]) -> list[Contest]:
    """All contests on one model. `utility` is used by the orthogonal projection alone."""
    return [
        Contest(
            "SNIP",
            lambda tokens: forward_and_backward(model, safety, tokens),
            lambda: one_shot_scores(model, safety, "snip", SETTINGS, 0),
            lambda: published.snip(model, safety),
            require_equal_scores,
        ),
        _wanda(model, safety, "Wanda", published.wanda),
        _wanda(model, safety, "Wanda, N passes", published.wanda_pass_per_block),
        Contest(
            "ActSVD",
            lambda tokens: forward(model, safety, tokens),
            lambda: act_svd(model, safety),
            lambda: published.act_svd(model, safety, ACT_SVD_RANK),
            lambda ours, theirs: check_directions(model, safety, ours, theirs),
        ),
        Contest(
            "projection",
            lambda tokens: forward(model, [*safety, *utility], tokens),
            lambda: orthogonal_projection(model, safety, utility),
            lambda: published.orthogonal_projection(model, safety, utility, SAFETY_RANK, UTILITY_RANK),
            lambda ours, theirs: check_projection(model, safety, utility, ours, theirs),
        ),
    ]


def _wanda(model: PreTrainedModel, samples: Sequence[Sample], name: str, theirs: Callable) -> Contest:
    return Contest(
        name,
        lambda tokens: forward(model, samples, tokens),
        lambda: one_shot_scores(model, samples, "wanda", SETTINGS, 0),
        lambda: theirs(model, samples),
        require_equal_scores,
    )


@torch.no_grad()
def forward(model: PreTrainedModel, samples: Sequence[Sample], batch_tokens: int) -> None:
    """One plain forward pass."""
    for batch in batches(samples, batch_tokens):
        model.model(input_ids=batch.input_ids, use_cache=False)


def forward_and_backward(model: PreTrainedModel, samples: Sequence[Sample], batch_tokens: int) -> None:
    """One plain pass forward and backward, to the gradients of all linear layers, summed over a batch by autograd."""
    weights = [layer.weight.requires_grad_() for layer in linear_layers(model).values()]
    for batch in batches(samples, batch_tokens):
        embedded = model.model.embed_tokens(batch.input_ids)
        hidden = _blocks(model, embedded)
        example_losses(model, hidden, batch.labels, "mean").sum().backward()
    for weight in weights:
        weight.grad = None
        weight.requires_grad_(False)


def _blocks(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    rotary = model.model.rotary_emb(hidden, torch.arange(hidden.shape[1])[None])
    for block in transformer_blocks(model):
        hidden = block(hidden, position_embeddings=rotary)
    return hidden


@torch.no_grad()
def act_svd(model: PreTrainedModel, samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Gram matrices and the top directions of all layers, by the harness."""
    grams = one_shot_grams(model, samples, SETTINGS)
    return {n: leading_directions(layer.weight, grams[n], ACT_SVD_RANK)[0] for n, layer in linear_layers(model).items()}


def orthogonal_projection(
    model: PreTrainedModel, safety: Sequence[Sample], utility: Sequence[Sample]
) -> dict[str, LowRankFactors]:
    """Gram matrices on both data sets and the factors of ΔW of all layers, by the harness."""
    layers = linear_layers(model)
    (directions,) = {direction_count(layer.weight) for layer in layers.values()}
    settings = projection.Settings(
        select="orthogonal-projection",
        safety="safety",
        utility="utility",
        safety_rank_removed=directions - SAFETY_RANK,
        utility_rank_removed=directions - UTILITY_RANK,
    )
    region = projection.Region(settings)
    grams = [one_shot_grams(model, data, SETTINGS) for data in (safety, utility)]
    return region.selected(SETTINGS, layers, grams).factors


def check_directions(
    model: PreTrainedModel, samples: Sequence[Sample], ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]
) -> None:
    """Ours against an exact SVD of kept activations by angle; theirs, which are not converged, by energy."""
    for name, outputs in kept_outputs(model, samples).items():
        require_same_subspace(name, ours[name], outputs)
        require_caught_energy(name, theirs[name], outputs)


def check_projection(
    model: PreTrainedModel,
    safety: Sequence[Sample],
    utility: Sequence[Sample],
    ours: Mapping[str, LowRankFactors],
    theirs: Mapping[str, tuple[Tensor, Tensor]],
) -> None:
    """Our ΔW against that of exact bases, as far as rounding may turn them; their bases by energy."""
    safety_outputs, utility_outputs = kept_outputs(model, safety), kept_outputs(model, utility)
    for name, layer in linear_layers(model).items():
        exact_safety = published.exact_directions(safety_outputs[name], SAFETY_RANK)
        exact_utility = published.exact_directions(utility_outputs[name], UTILITY_RANK)
        allowed = require_same_subspace(name, exact_safety, safety_outputs[name])
        allowed += require_same_subspace(name, exact_utility, utility_outputs[name])
        weight = layer.weight.double()
        part = exact_safety @ (exact_safety.mT @ weight)
        wanted = part - exact_utility @ (exact_utility.mT @ part)
        found = ours[name].left @ (ours[name].right @ weight)
        difference = float(torch.linalg.matrix_norm(found - wanted, 2) / torch.linalg.matrix_norm(weight, 2))
        if not difference <= allowed:
            raise DisagreementError(f"{name}: ΔW differs by {difference:.3g} of |W|; expected at most {allowed:.3g}")
        require_caught_energy(name, theirs[name][0], safety_outputs[name])
        require_caught_energy(name, theirs[name][1], utility_outputs[name])


@torch.no_grad()
def kept_outputs(model: PreTrainedModel, samples: Sequence[Sample]) -> dict[str, Tensor]:
    """X_inᵀ Wᵀ (n, d_out) of every layer at the response tokens, in float64."""
    layers = linear_layers(model)
    inputs = published.kept_inputs(model, samples, layers)
    return {name: inputs[name].double() @ layer.weight.double().mT for name, layer in layers.items()}
