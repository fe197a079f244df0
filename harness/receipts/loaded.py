"""Receipts of loading: the model in memory is the one that its files name, by bits and by what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.models.as_named import unlike_its_files
from harness.models.checkpoint_files import CheckpointFiles
from harness.models.layers import transformer_blocks
from harness.models.own_decoding import FILE, in_words, left_out
from harness.models.plain_llama import is_known, plain_states
from harness.receipts.scores import ANOTHER
from harness.spec.receipt import LookedAt, StageReceipt

#: Tokens of the text on which the two forward passes are compared.
PROBE_TOKENS = 32
#: Largest Σ|model − plain| / Σ|plain| behind a block or of the logits. In float32 1e-6 was measured on the organisms;
#: in 16 bits every block adds some thousandths.
LARGEST_DEPARTURE, LARGEST_DEPARTURE_16_BIT = 1e-4, 0.1
#: Differences that are told.
_SHOWN = 3


@dataclass
class _Departure:
    """where: in words, the first place where two passes differ by more than rounding. worst: of any place."""

    where: str | None = None
    worst: float = 0.0


def as_named(model: PreTrainedModel, files: CheckpointFiles, dtype: str) -> StageReceipt:
    """Whether every tensor, dtype and setting is that of the files. The model is intact. dtype: the variant's."""
    problems = unlike_its_files(model, files, getattr(torch, dtype))
    asked = in_words(left_out(files.folder))
    that = f"that; decoding leaves out what {FILE} asks for: {asked}" if asked else "that"
    tensors = len(model.state_dict())
    return StageReceipt(
        stage="weights",
        name="as-named",
        holds=not problems,
        expected=f"all {tensors} tensors of the model bit for bit as its safetensors files have them in {dtype}, RoPE, "
        "epsilon of norms and biases as config.json says",
        seen="; ".join(problems[:_SHOWN]) or that,
        advice="another model is measured than the one that is named: look at what loads it and at what touches it "
        "afterwards, and at the files",
        evidence={"tensors": tensors, "problems": len(problems), "linear_weights": _linear_weights(model)},
        looked_at=(LookedAt(what="tensors", seen=tensors, of=tensors),),
    )


def _linear_weights(model: PreTrainedModel) -> int:
    """Weights of the linear layers in all blocks, by what the files call them."""
    named = model.state_dict().items()
    return sum(tensor.numel() for name, tensor in named if ".layers." in name and name.endswith("_proj.weight"))


@torch.inference_mode()
def as_the_files_compute(model: PreTrainedModel, files: CheckpointFiles) -> StageReceipt | None:
    """Whether the model computes what a Llama's equations give with the numbers on disk; None of another architecture.

    The text is PROBE_TOKENS drawn tokens. States are compared behind every block, so that the first one that departs is
    named.
    """
    if not is_known(files):
        return None
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(
        model.config.vocab_size, (min(PROBE_TOKENS, model.config.max_position_embeddings),), generator=generator
    )
    held = _states(model, ids)
    allowed = LARGEST_DEPARTURE if model.dtype == torch.float32 else LARGEST_DEPARTURE_16_BIT
    found = _first_departure(held, files, ids.tolist(), model, allowed)
    blocks = len(held) - 2
    return StageReceipt(
        stage="logits",
        name="from-the-files",
        holds=found.where is None,
        expected=f"behind each of {blocks} blocks, and as logits, what the equations of a Llama give with the numbers "
        "on disk",
        seen=found.where or f"them, within {found.worst:.1g} of themselves",
        advice="the model computes otherwise than its config.json and weights say: look for a hook, a changed buffer "
        "or a setting of attention, norm or RoPE",
        evidence={"tokens": len(ids), "largest_deviation": found.worst, "allowed": allowed},
        looked_at=(LookedAt(what="blocks", seen=blocks, of=blocks),),
    )


def _states(model: PreTrainedModel, ids: Tensor) -> list[Tensor]:
    """(T, d_model) that enter the first block and leave each, and the logits (T, V).

    By hooks that are taken away again: the library's own, for output_hidden_states, stay on the model.
    """
    found: list[Tensor] = []

    def entering(_block: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        found.append(arguments[0][0].float())

    def leaving(_block: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        found.append((output if isinstance(output, Tensor) else output[0])[0].float())

    blocks = transformer_blocks(model)
    hooks = [blocks[0].register_forward_pre_hook(entering), *(each.register_forward_hook(leaving) for each in blocks)]
    try:
        logits = model(input_ids=ids[None].to(model.device), use_cache=False).logits[0]
    finally:
        for hook in hooks:
            hook.remove()
    return [*found, logits.float()]


def _first_departure(
    held: Sequence[Tensor], files: CheckpointFiles, ids: Sequence[int], model: PreTrainedModel, allowed: float
) -> _Departure:
    """held: the states behind the embedding and behind every block, and the logits."""
    found = _Departure()
    for number, plain in enumerate(plain_states(files, ids, model.dtype, model.device)):
        off = float(((held[number] - plain).abs().sum() / plain.abs().sum()).nan_to_num(torch.inf))
        found.worst = max(found.worst, min(off, ANOTHER))
        if found.where is None and off > allowed:
            place = "behind the embedding" if number == 0 else f"behind block {number}"
            found.where = (
                f"{place if number < len(held) - 1 else 'logits'} numbers that are off by {off:.2g} of themselves"
            )
    return found
