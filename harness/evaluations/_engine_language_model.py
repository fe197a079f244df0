"""lm-eval's view of an engine: log-likelihoods come from the same engine as everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import TemplateLM

from harness.engines.base import Scorer, ScoreRequest
from harness.errors import UserError
from harness.models.prompts import PromptFormatter, token_ids


class EngineLanguageModel(TemplateLM):
    """Scores continuations for multiple-choice tasks; every context begins as the model's texts do."""

    def __init__(self, engine: Scorer, formatter: PromptFormatter) -> None:
        super().__init__()
        self._engine = engine
        self._formatter = formatter
        self.tokenizer = formatter.tokenizer

    @property
    def eot_token_id(self) -> int:
        """The tokenizer's EOS."""
        return int(self._formatter.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before an empty context: BOS, or EOS where there is none, as in lm-eval's own models."""
        tokenizer = self._formatter.tokenizer
        return int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids behind their opening; without it where lm-eval asks for no special token."""
        if add_special_tokens is False:
            return token_ids(self._formatter.tokenizer, string)
        return self._formatter.ids(string)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """As lm-eval's own, without its progress bar."""
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        scored = self._engine.score(
            [ScoreRequest((*context, *continuation), len(context)) for _, context, continuation in requests]
        )
        return [(sum(tokens.log_probabilities), all(tokens.likeliest)) for tokens in scored]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Not part of the paper's evaluation; perplexity has its own window and its own evaluation."""
        raise UserError("a zero-shot task asks for rolling log-likelihoods; only multiple-choice tasks are supported")

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Not part of the paper's evaluation, whose six tasks are all multiple choice."""
        raise UserError("a zero-shot task asks for generated text; only multiple-choice tasks are supported")
