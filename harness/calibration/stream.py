"""Calibration samples streamed through the blocks of a model, once for all layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.masking_utils import create_causal_mask

from harness.calibration.pairs import IGNORED, Batch, Sample, batches
from harness.models.layers import transformer_blocks

BATCH_TOKENS = 4096


@dataclass
class BlockStream:
    """Calibration batches, stopped before block `position`, to be run from there as often as needed.

    A one-shot score runs from block 0 to the end once. The block-by-block schedule edits block k,
    calls `advance`, and never computes the blocks before k + 1 again.
    hidden: for each batch the states (B, T, d_model) that enter block `position`.
    """

    model: PreTrainedModel
    samples: Sequence[Sample]
    batch_tokens: int = BATCH_TOKENS
    position: int = 0
    batches: list[Batch] = field(init=False)
    hidden: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        device = self.model.device
        self.batches = [batch.to(device) for batch in batches(self.samples, self.batch_tokens)]
        with torch.no_grad():
            self.hidden = [self.model.model.embed_tokens(batch.input_ids) for batch in self.batches]

    def each(self) -> Iterator[tuple[Batch, Tensor]]:
        """Every batch with the hidden states that enter block `position`."""
        return zip(self.batches, self.hidden, strict=True)

    def run(self, hidden: Tensor, stop: int) -> Tensor:
        """Blocks `position` to `stop` (not included) on hidden states (B, T, d_model) -> (B, T, d_model).

        Padding is on the right and attention is causal, so that no token sees padding.
        """
        backbone = self.model.model
        positions = torch.arange(hidden.shape[1], device=hidden.device).unsqueeze(0)
        mask = create_causal_mask(
            config=self.model.config,
            inputs_embeds=hidden,
            attention_mask=None,
            past_key_values=None,
            position_ids=positions,
        )
        rotary = backbone.rotary_emb(hidden, position_ids=positions)
        for block in transformer_blocks(self.model)[self.position : stop]:
            hidden = block(
                hidden,
                attention_mask=mask,
                position_ids=positions,
                position_embeddings=rotary,
                past_key_values=None,
                use_cache=False,
            )
        return hidden

    @torch.no_grad()
    def advance(self) -> None:
        """Carry every batch through block `position`, as its weights are now."""
        self.hidden = [self.run(hidden, self.position + 1) for hidden in self.hidden]
        self.position += 1


def response_positions(labels: Tensor, where: str) -> Tensor:
    """(B, T) bool: positions of response tokens, or (`predicting`) those one earlier that predict them."""
    response = labels != IGNORED
    if where == "response":
        return response
    return torch.cat([response[:, 1:], torch.zeros_like(response[:, :1])], dim=1)
