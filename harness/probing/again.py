"""A second probe of a few attention heads, for receipts: in other batches, and by another solver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from harness.formulas.draws import drawn
from harness.models.layers import block_layers
from harness.probing.heads import Head, HeadLayout, head_layout

#: Heads that are probed again for a cell, all in one block.
HEADS_AGAIN = 2
#: A prompt on which a probe's decision value is nearer to 0 may fall on either side. In 16 bits a head's output itself
#: depends on the prompts that share its batch.
UNSURE, UNSURE_IN_16_BITS = 1e-2, 0.5
_TOGETHER = 32


@dataclass(frozen=True)
class Classes:
    """Token ids of the prompts of both classes, and the seed that splits them."""

    harmful: Sequence[Sequence[int]]
    harmless: Sequence[Sequence[int]]
    seed: int


@dataclass(frozen=True)
class Probed:
    """A head that was probed again: prompts that it tells surely, those that may fall either way, and all of them."""

    head: Head
    sure: int
    unsure: int
    prompts: int

    def departs(self, accuracy: float | None) -> bool:
        """Whether a share of the prompts is none that it can have."""
        right = -1.0 if accuracy is None else accuracy * self.prompts
        return not self.sure - 1e-6 <= right <= self.sure + self.unsure + 1e-6


def drawn_heads(cell: str, model: PreTrainedModel) -> list[Head]:
    """HEADS_AGAIN of one block, both drawn for a cell."""
    layout = head_layout(model)
    (block,) = drawn(cell, "block of probed heads", layout.blocks, 1)
    return [Head(block, head) for head in drawn(cell, "probed heads", layout.heads, HEADS_AGAIN)]


def probed(model: PreTrainedModel, classes: Classes, heads: Sequence[Head]) -> list[Probed]:
    """Heads of one block of the model as it is, each by a logistic regression of its own (appendix C.4)."""
    outputs = _last_outputs(model, [*classes.harmful, *classes.harmless], heads[0].block, head_layout(model))
    labels = np.arange(len(outputs)) < len(classes.harmful)
    train, validation = _split(labels, classes.seed)
    unsure = UNSURE_IN_16_BITS if model.dtype.itemsize == 2 else UNSURE
    found = []
    for head in heads:
        decision = _decisions(outputs[:, head.head].double(), labels, train, validation)
        right, near = (decision > 0) == labels[validation], np.abs(decision) < unsure
        found.append(Probed(head, int((right & ~near).sum()), int(near.sum()), len(validation)))
    return found


@torch.no_grad()
def _last_outputs(model: PreTrainedModel, prompts: Sequence[Sequence[int]], block: int, layout: HeadLayout) -> Tensor:
    """(prompts, heads, head size): outputs of a block at the last token. Prompts of one length go together."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, ids in enumerate(prompts):
        by_length[len(ids)].append(place)
    layer = next(module for name, module in block_layers(model, block).items() if name.endswith("o_proj"))
    kept: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _layer, inputs: kept.append(inputs[0][:, -1].float().cpu()))
    found = torch.empty(len(prompts), layout.heads * layout.head_size)
    try:
        for places in by_length.values():
            for start in range(0, len(places), _TOGETHER):
                chosen = places[start : start + _TOGETHER]
                model.model(input_ids=torch.tensor([prompts[p] for p in chosen], device=model.device), use_cache=False)
                found[chosen] = kept.pop()
    finally:
        hook.remove()
    return found.unflatten(1, (layout.heads, layout.head_size))


def _split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places that train and that validate, 5:2 in each class; the harmless class is shuffled first."""
    generator = np.random.default_rng(seed)
    train: list[int] = []
    for of_class in (np.flatnonzero(~labels), np.flatnonzero(labels)):
        shuffled = of_class[generator.permutation(len(of_class))]
        train += shuffled[: round(len(of_class) * 5 / 7)].tolist()
    chosen = np.isin(np.arange(len(labels)), train)
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def _decisions(features: Tensor, labels: np.ndarray, train: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """Decision values of the prompts that validate: log loss + |w|²/2, the intercept not penalised, by L-BFGS.

    In units in which the largest feature is 1.
    """
    scale = features[train].abs().max().clamp_min(1e-30)
    rows, targets = features / scale, torch.from_numpy(labels).double()
    solution = torch.zeros(features.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [solution], max_iter=2000, tolerance_grad=1e-11, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        values = rows[train] @ solution[:-1] + solution[-1]
        log_loss = functional.binary_cross_entropy_with_logits(values, targets[train], reduction="sum")
        total = log_loss + (solution[:-1] / scale).square().sum() / 2
        total.backward()
        return total

    with torch.enable_grad():
        solver.step(loss)
    return (rows[validation] @ solution.detach()[:-1] + solution.detach()[-1]).numpy()
