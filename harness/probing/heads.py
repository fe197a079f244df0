"""Attention heads of a model: their shapes, their probes, the best of them, and the weights that they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.errors import UserError
from harness.models.layers import block_layers, layer_type, transformer_blocks


class Head(NamedTuple):
    """A query head: its block, and its place in the block. Heads sort by depth."""

    block: int
    head: int


@dataclass(frozen=True)
class HeadLayout:
    """Blocks of the model, query heads and key/value heads of a block, and the dimensions of a head."""

    blocks: int
    heads: int
    key_value_heads: int
    head_size: int

    @property
    def group_size(self) -> int:
        """Query heads that share one key/value head."""
        return self.heads // self.key_value_heads


def head_layout(model: PreTrainedModel) -> HeadLayout:
    """From the config. Raises UserError where the weights have other shapes than it says."""
    config = model.config
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    layout = HeadLayout(len(transformer_blocks(model)), heads, config.num_key_value_heads, size)
    for index in range(layout.blocks):
        query, key = list(block_layers(model, index).items())[:2]
        for (name, layer), count in ((query, heads), (key, layout.key_value_heads)):
            if layer.out_features != count * size:
                raise UserError(f"{name} has {layer.out_features} rows, {count} heads of size {size} are in the config")
    return layout


@dataclass(frozen=True)
class HeadProbe:
    """What the probes of all heads said of the validation prompts.

    hits: (validation prompts, blocks, heads) bool, True where a head's probe is right.
    """

    hits: Tensor

    @property
    def accuracy(self) -> Tensor:
        """(blocks, heads) float64, the share of validation prompts that each head's probe gets right."""
        return self.hits.to(torch.float64).mean(dim=0)


def top_heads(accuracy: Tensor, count: int) -> list[Head]:
    """The `count` heads of the largest accuracy, best first; of equals the one in the lower block, then of lower index.

    accuracy: (blocks, heads). With few validation prompts many heads tie, and the order among them
    is this rule and no finding. Raises ValueError unless 0 < count <= number of heads.
    """
    if not 0 < count <= accuracy.numel():
        raise ValueError(f"{count} heads were asked for, there are {accuracy.numel()}")
    ranked = sorted(
        (-value, Head(block, head)) for block, row in enumerate(accuracy.tolist()) for head, value in enumerate(row)
    )
    return [head for _, head in ranked[:count]]


def head_masks(model: PreTrainedModel, heads: Iterable[Head]) -> dict[str, Tensor]:
    """The weights of heads: {layer name: bool mask} of q, k, v and o of every block that holds one of them.

    A head h of size s is rows h s to (h + 1) s of q_proj and the same columns of o_proj. Under
    grouped-query attention several query heads share the rows of one head in k_proj and v_proj;
    those go only when all query heads of the group go: a query head that stays reads them, and
    would change. Without its columns of o_proj a head writes nothing to the residual stream either
    way. (A bias of o_proj belongs to no head and stays.)

    The published code zeroes columns of q, k and v and rows of o, the wrong axes (lib/prune.py:2112-2123;
    docs/decisions/06-attention-heads.md): the head goes on speaking and others change.
    """
    layout = head_layout(model)
    by_block: dict[int, set[int]] = defaultdict(set)
    for block, head in heads:
        if not (0 <= block < layout.blocks and 0 <= head < layout.heads):
            raise ValueError(f"no head {head} in block {block}: {layout.blocks} blocks of {layout.heads} heads")
        by_block[block].add(head)
    masks: dict[str, Tensor] = {}
    for block, removed in sorted(by_block.items()):
        kept_groups = {head // layout.group_size for head in set(range(layout.heads)) - removed}
        removed_groups = set(range(layout.key_value_heads)) - kept_groups
        query = _dimensions(removed, layout.heads, layout.head_size)
        key_value = _dimensions(removed_groups, layout.key_value_heads, layout.head_size)
        for name, layer in block_layers(model, block).items():
            shape = layer.weight.shape
            if layer_type(name) == "q_proj":
                masks[name] = query[:, None].expand(shape).contiguous()
            elif layer_type(name) in ("k_proj", "v_proj"):
                masks[name] = key_value[:, None].expand(shape).contiguous()
            elif layer_type(name) == "o_proj":
                masks[name] = query[None, :].expand(shape).contiguous()
    return masks


def _dimensions(chosen: set[int], count: int, head_size: int) -> Tensor:
    """(count * head_size,) bool: the dimensions of the chosen heads among `count`."""
    dimensions = torch.zeros(count, head_size, dtype=torch.bool)
    dimensions[sorted(chosen)] = True
    return dimensions.reshape(-1)
