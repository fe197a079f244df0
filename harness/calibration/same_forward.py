"""Whether a model's blocks in a row, as scores and Gram matrices are measured, give what its own forward pass gives."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from harness.calibration.pairs import Sample
from harness.calibration.stream import BlockStream
from harness.errors import UserError
from harness.models.layers import transformer_blocks

#: Tokens of the two texts that both passes read; the shorter one is padded.
PROBE_TOKENS = (24, 22)
#: Largest difference of two logits, relative to the largest of them: in float32, and of 16-bit numbers in their eps.
ROUNDING_FLOAT32, ROUNDING_IN_EPS = 1e-4, 4


def refuse_other_forward(model: PreTrainedModel, place: str) -> None:
    """Raises UserError where the two differ, whatever the architecture is called. place: where the model is from."""
    name = type(model).__name__
    try:
        difference, allowed = forward_difference(model)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # of what a Llama's blocks are given
        raise UserError(
            f"{place}: the blocks of {name} cannot be run one after the other: {str(error).splitlines()[0]}; expected "
            "a Llama, whose blocks take hidden states, a mask and positions"
        ) from None
    if difference > allowed:
        raise UserError(
            f"{place}: the blocks of {name}, one after the other, give logits that are off by "
            f"{difference:.3g} from its own forward pass (rounding explains {allowed:.3g}); expected a Llama, which "
            "does nothing between its blocks: scores measured block by block would be another model's"
        )


@torch.no_grad()
def forward_difference(model: PreTrainedModel) -> tuple[float, float]:
    """The largest difference of two logits, and how large rounding may make it. NaN agrees with NaN."""
    generator = torch.Generator().manual_seed(0)
    most = min(model.config.vocab_size, model.get_input_embeddings().num_embeddings)
    longest = model.config.max_position_embeddings
    texts = [torch.randint(most, (min(tokens, longest),), generator=generator) for tokens in PROBE_TOKENS]
    stream = BlockStream(model, [Sample(ids, ids.clone()) for ids in texts])
    streamed = [stream.run(hidden, len(transformer_blocks(model))) for hidden in stream.hidden]
    rows = [row for states in streamed for row in states]
    inputs = [ids for batch in stream.batches for ids in batch.input_ids]
    difference, largest = 0.0, 0.0
    for states, ids in zip(rows, inputs, strict=True):
        own = model(input_ids=ids[None], use_cache=False).logits[0].float()
        logits = model.lm_head(model.model.norm(states)).float()
        difference = max(difference, float((own - logits).abs().nan_to_num(0.0, 0.0).max()))
        largest = max(largest, float(own.abs().nan_to_num(0.0, 0.0, 0.0).max()))
    sixteen_bit = model.dtype != torch.float32
    return difference, largest * (ROUNDING_IN_EPS * torch.finfo(model.dtype).eps if sixteen_bit else ROUNDING_FLOAT32)
