"""Pairs to training samples: drawn, tokenised, ended."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from harness.calibration.pairs import Pair, Sample, draw, tokenise
from harness.errors import UserError
from harness.spec.finetuning import FineTuningSettings


def training_samples(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, settings: FineTuningSettings, context_tokens: int
) -> list[Sample]:
    """`settings.examples` samples of at most `max_tokens` tokens, labels on response and EOS only.

    The reproduction's code trained on prompt and padding as well. EOS follows a response that was not
    cut, as in Qi et al. 2023 (alpaca_dataset.py): without it a model forgets to stop.
    Raises UserError if there are too few pairs, or if a prompt leaves no room for its response.
    """
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no EOS token; fine-tuning would teach the model never to stop")
    limit = min(settings.max_tokens, context_tokens)
    end = torch.tensor([tokenizer.eos_token_id])
    return [
        Sample(torch.cat([sample.input_ids, end]), torch.cat([sample.labels, end]))
        if len(sample.input_ids) < limit
        else sample
        for sample in tokenise(draw(pairs, settings.examples, settings.seed), tokenizer, limit)
    ]
