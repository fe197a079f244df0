"""Lengths of prompts, pairs and texts: counted where tokenizer and file are here, assumed otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.calibration.files import read_lines
from harness.calibration.pairs import draw, read_pairs, tokenise
from harness.engines.base import NotedRequests, Scorer
from harness.finetuning.data import training_samples
from harness.models.loading import load_tokenizer
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.planning.inventory import cached_file
from harness.planning.rates import AssumedTokens, rates
from harness.reading import read_prose
from harness.spec.benchmark import CalibrationSet
from harness.spec.evaluation import DeclaredTexts
from harness.spec.finetuning import FineTuningSettings
from harness.spec.probing import ProbeSettings
from harness.spec.variant import ModelVariant

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Of a chat template and BOS, in tokens, where no tokenizer is here.
_FRAME_TOKENS = 12


@dataclass
class TokenCounter:
    """Counts for one variant. assumed: in words, what was not counted but taken from rates.yaml."""

    variant: ModelVariant
    variant_file: Path
    paths: Mapping[str, Path]
    assumed: set[str] = field(default_factory=set)

    @functools.cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase | None:
        if cached_file(self.variant, self.variant_file, "tokenizer_config.json") is None:
            return None
        return load_tokenizer(self.variant, self.variant_file)

    @functools.cached_property
    def _formatter(self) -> PromptFormatter | None:
        if self._tokenizer is None:
            return None
        return PromptFormatter(self._tokenizer, self.variant.chat_template, self.variant.system_prompt)

    @property
    def _defaults(self) -> AssumedTokens:
        return rates().tokens

    def prompts(self, settings: DeclaredTexts, prompts: int | None = None, samples: int | None = None) -> list[int]:
        """Tokens of every prompt of an evaluation, BOS included, each as often as it is sampled."""
        number, repeats = prompts or settings.prompts, samples or settings.samples
        style = PromptStyle(settings.system_prompt, settings.chat_template)
        lengths = self._requests(settings.dataset, style, number, self._suffixes(settings))
        return [length for length in lengths for _ in range(repeats)]

    def probed(self, settings: ProbeSettings) -> int:
        """Tokens of all prompts that attention heads are probed with."""
        style = PromptStyle(settings.system_prompt, settings.chat_template)
        return sum(sum(self._requests(dataset, style, settings.prompts, [None])) for dataset in settings.datasets)

    def _requests(
        self, dataset: str, style: PromptStyle, number: int | None, suffixes: Sequence[str | None]
    ) -> list[int]:
        """Tokens of the first `number` requests of a dataset, or of all, with each suffix, BOS included."""
        if self._formatter is None or dataset not in self.paths:
            self.assumed.add(f"length of the prompts from {dataset}")
            length = self._defaults.request.value + _FRAME_TOKENS
            length += self._defaults.suffix.value if suffixes != [None] else 0
            if style.system_prompt and style.chat_template:
                length += len(self.variant.system_prompt) / self._defaults.characters_per_token.value
            return [round(length)] * ((number or int(self._defaults.probing_requests.value)) * len(suffixes))
        return [
            len(self._formatter.ids(self._formatter.text(request, style, suffix)))
            for request in read_lines(self.paths[dataset])[:number]
            for suffix in suffixes
        ]

    def _suffixes(self, settings: DeclaredTexts) -> list[str | None]:
        if settings.suffixes is None:
            return [None]
        if settings.suffixes in self.paths:
            return list(read_lines(self.paths[settings.suffixes]))
        self.assumed.add(f"number of suffixes of {settings.name}")
        return [""] * int(self._defaults.suffixes.value)

    def pairs(self, declared: CalibrationSet, seed: int | None) -> list[int]:
        """Tokens of every pair of a calibration set."""
        if self._tokenizer is None or declared.dataset not in self.paths:
            return self._assumed_pairs(declared.dataset, declared.samples)
        drawn = draw(
            read_pairs(self.paths[declared.dataset]),
            declared.samples,
            declared.seed if seed is None else seed,
            declared.skip,
        )
        variant = self.variant
        samples = tokenise(drawn, self._tokenizer, variant.context_tokens, variant.chat_template)
        return [len(sample.input_ids) for sample in samples]

    def training(self, settings: FineTuningSettings) -> int:
        """Tokens of all examples of a fine-tuning, once."""
        if not settings.examples:
            return 0
        if self._tokenizer is None or settings.dataset not in self.paths:
            return sum(self._assumed_pairs(settings.dataset, settings.examples))
        variant, pairs = self.variant, read_pairs(self.paths[settings.dataset])
        samples = training_samples(pairs, self._tokenizer, variant.chat_template, settings, variant.context_tokens)
        return sum(len(sample.input_ids) for sample in samples)

    def _assumed_pairs(self, dataset: str, number: int) -> list[int]:
        self.assumed.add(f"length of the pairs of {dataset}")
        known = self._defaults.pairs
        return [round((known.get(dataset) or known["utility"]).value)] * number

    def windows(self, dataset: str, width: int, windows: int | None) -> int:
        """Tokens of the windows of a text."""
        if windows is not None:
            return windows * width
        if dataset not in self.paths:
            self.assumed.add(f"length of {dataset}")
            return 20 * width
        text = read_prose(self.paths[dataset])
        if self._formatter is None:
            return round(len(text) / self._defaults.characters_per_token.value)
        return len(self._formatter.ids(text)) // width * width

    def task(self, task: str, limit: int | None, ask: Callable[[Path, Scorer, PromptFormatter], None]) -> int:
        """Tokens of all contexts with each answer, of the first `limit` items of a task, as `ask` asks for them."""
        if self._formatter is None or task not in self.paths:
            self.assumed.add(f"items of {task}")
            known = self._defaults.zero_shot
            of_task = known.get(task, known["any_other"])
            return (limit or int(self._defaults.zero_shot_items.value)) * of_task.answers * of_task.tokens
        noted = NotedRequests()
        ask(self.paths[task], noted, self._formatter)
        return sum(len(request.token_ids) for request in noted.requests)
