"""Pairs to training samples: drawn, tokenised, ended."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from harness.calibration.pairs import Pair, Sample, draw, tokenise
from harness.models.prompts import turn_end_token_id
from harness.spec.finetuning import FineTuningSettings


def training_samples(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    settings: FineTuningSettings,
    context_tokens: int,
) -> list[Sample]:
    """`settings.examples` samples of at most `max_tokens` tokens, labels on response and turn end only.

    template: the variant's. The token that ends its assistant's turn (models/prompts.py) follows a response that was
    not cut, as EOS does in Qi et al. 2023 (alpaca_dataset.py): without it a model forgets to stop.
    The reproduction's code trained on prompt and padding as well.
    Raises UserError if there are too few pairs, or if a prompt leaves no room for its response.
    """
    limit = min(settings.max_tokens, context_tokens)
    end = torch.tensor([turn_end_token_id(tokenizer, template)])
    return [
        Sample(torch.cat([sample.input_ids, end]), torch.cat([sample.labels, end]))
        if len(sample.input_ids) < limit
        else sample
        for sample in tokenise(draw(pairs, settings.examples, settings.seed), tokenizer, limit, template)
    ]
