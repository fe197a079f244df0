"""What every attention head writes at the last token of a prompt, for all blocks in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.errors import UserError
from harness.models.layers import block_layers, transformer_blocks
from harness.probing.heads import head_layout

PROMPTS_PER_BATCH = 32


@torch.inference_mode()
def head_outputs(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Tensor:
    """(prompts, blocks, heads, head size), on the CPU, in the model's dtype: the input of o_proj, by head.

    prompts: token ids, BOS included, of any lengths. Only the last token's vectors leave the hooks;
    those of other tokens are never kept. Prompts of similar length share a batch, padded on the
    right, where causal attention keeps padding out of sight.
    Raises UserError for a prompt that exceeds the model's context, and where an output is not finite.
    """
    layout = head_layout(model)
    longest, context = max(len(ids) for ids in prompts), int(model.config.max_position_embeddings)
    if longest > context:
        raise UserError(f"a prompt of {longest} tokens exceeds the model's context of {context}")
    outputs = torch.empty(len(prompts), layout.blocks, layout.heads * layout.head_size, dtype=model.dtype)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for start in range(0, len(order), PROMPTS_PER_BATCH):
        indices = order[start : start + PROMPTS_PER_BATCH]
        outputs[indices] = _batch_outputs(model, [prompts[index] for index in indices])
    if not outputs.isfinite().all():
        raise UserError("an attention head's output is not finite; the model overflows on the probed prompts")
    return outputs.unflatten(2, (layout.heads, layout.head_size))


def _batch_outputs(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Tensor:
    """(B, blocks, heads * head size) at each prompt's last token."""
    lengths = torch.tensor([len(ids) for ids in prompts])
    padded = torch.zeros(len(prompts), int(lengths.max()), dtype=torch.long)
    for row, ids in enumerate(prompts):
        padded[row, : len(ids)] = torch.tensor(ids)
    last = (lengths - 1).to(model.device)
    found: list[Tensor] = []
    with ExitStack() as hooks:
        for index in range(len(transformer_blocks(model))):
            output_layer = block_layers(model, index)[f"model.layers.{index}.self_attn.o_proj"]
            hooks.enter_context(output_layer.register_forward_pre_hook(_keep_last_token(last, found)))
        model.model(input_ids=padded.to(model.device), use_cache=False)
    return torch.stack(found, dim=1)  # blocks run, and are kept, in order of depth


def _keep_last_token(last: Tensor, found: list[Tensor]) -> Callable[[nn.Module, Any], None]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = torch.arange(len(last), device=last.device)
        found.append(inputs[0][rows, last].cpu())  # (B, T, heads * size) -> (B, heads * size)

    return hook
