"""The published algorithms, written plainly: what `harness` is timed against.

Each function follows the loops of one function of the authors' repository
(boyiwei/alignment-attribution-code): the same passes over the data, one example at a time, the same
things kept in memory. What is left out is what has nothing to do with time or would make results
incomparable: bfloat16 (float32 here), the edit of a block before the next one is scored (the
published code leaves it out as well where it dumps scores for set difference), files, and the
wrappers around layers, in whose place hooks stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.calibration.pairs import IGNORED, Sample
from harness.models.layers import block_layers, transformer_blocks

#: Subspace iterations of `torch.svd_lowrank`: the default of main_low_rank.py and main_low_rank_diff.py.
ITERATIONS = 20

#: (n, d_out) outputs and a rank -> (d_out, rank), their leading right singular vectors.
FindDirections = Callable[[Tensor, int], Tensor]


def snip(model: PreTrainedModel, samples: Sequence[Sample]) -> dict[str, Tensor]:
    """SNIP as `prune_wandg` (lib/model_wrapper.py): for each block, a forward and a backward pass of every example.

    Only the weights of one block want a gradient at a time, so that autograd stops there on its way
    back. Returns {layer: |W| ∘ mean over examples of |∇W|, (d_out, d_in)}; the published code leaves
    the sum.
    """
    scores = {}
    for index in range(len(transformer_blocks(model))):
        layers = block_layers(model, index)
        totals = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}
        _want_gradients(layers, True)
        for sample in samples:
            model.zero_grad()
            model(input_ids=sample.input_ids[None], labels=sample.labels[None]).loss.backward()
            for name, layer in layers.items():
                totals[name] += layer.weight.grad.abs()
        model.zero_grad()
        _want_gradients(layers, False)
        scores |= {name: layer.weight.abs() * totals[name] / len(samples) for name, layer in layers.items()}
    return scores


@torch.no_grad()
def wanda(model: PreTrainedModel, samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Wanda as `prune_wanda` (lib/prune.py): block by block on kept hidden states, each block run twice.

    The first run collects the norms, the second, in the published code after the edit, the inputs of
    the next block: two passes, however many blocks there are. Returns {layer: |W| ∘ ||X||, (d_out, d_in)};
    the published code divides the squared norms by the number of samples.
    """
    hidden = [model.model.embed_tokens(sample.input_ids[None]) for sample in samples]
    rotary = [model.model.rotary_emb(x, torch.arange(x.shape[1])[None]) for x in hidden]
    scores = {}
    for index, block in enumerate(transformer_blocks(model)):
        layers = block_layers(model, index)
        squares = {name: torch.zeros(layer.in_features) for name, layer in layers.items()}
        for sample, x, position in zip(samples, hidden, rotary, strict=True):
            response = sample.labels != IGNORED

            def add_squares(name: str, inputs: Tensor, response: Tensor = response, squares=squares) -> None:
                squares[name] += torch.norm(inputs[response].T, p=2, dim=1) ** 2

            _with_hooks(layers, add_squares, lambda x=x, p=position, b=block: b(x, position_embeddings=p))
        scores |= {name: layer.weight.abs() * squares[name].sqrt() for name, layer in layers.items()}
        hidden = [block(x, position_embeddings=position) for x, position in zip(hidden, rotary, strict=True)]
    return scores


@torch.no_grad()
def wanda_pass_per_block(model: PreTrainedModel, samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Wanda in the loop of `make_low_rank` (lib/model_wrapper_low.py): for each block, a whole pass of every example.

    That is the paper's appendix B, block by block for every method, without kept hidden states. The
    authors run ActSVD in this way, but not Wanda (see `wanda`).
    """
    scores = {}
    for index in range(len(transformer_blocks(model))):
        layers = block_layers(model, index)
        inputs = kept_inputs(model, samples, layers)
        scores |= {n: layer.weight.abs() * torch.norm(inputs[n].T, p=2, dim=1) for n, layer in layers.items()}
    return scores


def published_directions(outputs: Tensor, rank: int) -> Tensor:
    """`torch.svd_lowrank` without oversampling, as published: from random starts, and where singular values
    are close not converged.

    outputs: (n, d_out). Returns (d_out, rank).
    """
    return torch.svd_lowrank(outputs.float(), q=rank, niter=ITERATIONS)[2]


def exact_directions(outputs: Tensor, rank: int) -> Tensor:
    """What `published_directions` stands for: leading right singular vectors (d_out, rank), by an SVD in float64."""
    return torch.linalg.svd(outputs.double(), full_matrices=False).Vh[:rank].mT


@torch.no_grad()
def act_svd(
    model: PreTrainedModel, samples: Sequence[Sample], rank: int, find: FindDirections = published_directions
) -> dict[str, Tensor]:
    """ActSVD as `make_low_rank` (lib/model_wrapper_low.py): for each block, a whole pass of every example.

    The inputs of a block's layers are kept, multiplied by W and decomposed. Returns {layer: top `rank`
    directions of the outputs (d_out, rank)}; the published code goes on to form U Uᵀ W.
    """
    bases = {}
    for index in range(len(transformer_blocks(model))):
        layers = block_layers(model, index)
        inputs = kept_inputs(model, samples, layers)
        bases |= {name: find(inputs[name] @ layer.weight.T, rank) for name, layer in layers.items()}
    return bases


@torch.no_grad()
def orthogonal_projection(
    model: PreTrainedModel,
    safety: Sequence[Sample],
    utility: Sequence[Sample],
    safety_rank: int,
    utility_rank: int,
    find: FindDirections = published_directions,
) -> dict[str, tuple[Tensor, Tensor]]:
    """The projectors of `make_low_rank` (main_low_rank_diff.py): for each block, a whole pass of both data sets.

    Returns {layer: (top `safety_rank` safety directions, top `utility_rank` utility directions)}, each
    (d_out, rank); the published code goes on to form (I − Π_u) Π_s W.
    """
    bases = {}
    for index in range(len(transformer_blocks(model))):
        layers = block_layers(model, index)
        kept_utility, kept_safety = (kept_inputs(model, samples, layers) for samples in (utility, safety))
        for name, layer in layers.items():
            utility_directions = find(kept_utility[name] @ layer.weight.T, utility_rank)
            bases[name] = find(kept_safety[name] @ layer.weight.T, safety_rank), utility_directions
    return bases


@torch.no_grad()
def kept_inputs(
    model: PreTrainedModel, samples: Sequence[Sample], layers: Mapping[str, nn.Linear]
) -> dict[str, Tensor]:
    """Inputs (n, d_in) of some layers at all response tokens, kept from a whole pass, one example at a time."""
    rows: dict[str, list[Tensor]] = {name: [] for name in layers}
    for sample in samples:
        response = sample.labels != IGNORED

        def keep(name: str, inputs: Tensor, response: Tensor = response) -> None:
            rows[name].append(inputs[response])

        _with_hooks(layers, keep, lambda sample=sample: model(input_ids=sample.input_ids[None]))
    return {name: torch.cat(kept) for name, kept in rows.items()}


def _with_hooks(layers: Mapping[str, nn.Linear], see: Callable[[str, Tensor], None], run: Callable[[], object]) -> None:
    """Run one example and show `see` the inputs (T, d_in) of every layer."""
    hooks = [
        layer.register_forward_pre_hook(lambda _layer, inputs, name=name: see(name, inputs[0][0]))
        for name, layer in layers.items()
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()


def _want_gradients(layers: Mapping[str, nn.Linear], wanted: bool) -> None:
    for layer in layers.values():
        layer.weight.requires_grad_(wanted)
