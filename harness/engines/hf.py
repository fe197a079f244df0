"""Engine `hf`: transformers' own generation in batches of left-padded prompts, from which rows that ended go."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import Cache, LogitsProcessor, LogitsProcessorList

from harness.engines import _seeded_choice as seeded_choice
from harness.engines._growing_cache import growing_cache
from harness.engines.base import (
    CACHE_SHARE_OF_FREE_DEVICE_MEMORY,
    SCORED_TOKENS_PER_BATCH,
    Generated,
    Request,
    ScoredTokens,
    ScoreRequest,
)
from harness.errors import UserError
from harness.models.fingerprint import model_fingerprint
from harness.models.loading import LoadedModel
from harness.models.prompts import stop_token_ids
from harness.spec.measurement import Choice
from harness.spec.variant import ModelVariant

#: Most texts that are generated at once, and what their keys and values may take of a CPU's memory.
LARGEST_BATCH = 512
CACHE_BYTES_ON_CPU = 2 * 1024**3
#: After so many tokens, rows that ended are taken out of their batch.
TOKENS_BETWEEN_LOOKS = 16
Item = TypeVar("Item")


def make(loaded: LoadedModel) -> HfEngine:
    """The engine on a loaded model, which it shares: edits in place need no reload."""
    return HfEngine(loaded)


def version() -> str:
    """Name and version of what computes."""
    return f"transformers {transformers.__version__}"


def problems(variant: ModelVariant | None) -> list[str]:
    """None: it needs nothing but what the harness itself needs."""
    return []


class HfEngine:
    """See harness.engines.base.Engine."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._stop = stop_token_ids(loaded.tokenizer, loaded.model.generation_config)
        if not self._stop:
            raise UserError("neither the tokenizer nor generation_config.json names a token that ends an answer")
        pad = loaded.tokenizer.pad_token_id
        self._pad = pad if pad is not None else self._stop[0]
        self._context = int(loaded.model.config.max_position_embeddings)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """See harness.engines.base.Engine."""
        return tuple(self._stop)

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Prompts of similar length share a batch, so that little is padded."""
        results: dict[int, Generated] = {}
        order = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt_ids))
        longest = max((len(r.prompt_ids) + r.max_new_tokens for r in requests), default=1)
        for indices in _chunks(order, self._rows_per_batch(longest)):
            outputs = self._generate_batch([requests[i] for i in indices])
            results.update(zip(indices, outputs, strict=True))
        return [results[i] for i in range(len(requests))]

    def _rows_per_batch(self, tokens: int) -> int:
        """So many rows of so many tokens as the cache of keys and values has room for."""
        config = self._model.config
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * head_size * tokens
        room = CACHE_BYTES_ON_CPU
        if self._device.type == "cuda":
            room = int(torch.cuda.mem_get_info(self._device)[0] * CACHE_SHARE_OF_FREE_DEVICE_MEMORY)
        return max(1, min(LARGEST_BATCH, room // (numbers * self._model.dtype.itemsize)))

    def _generate_batch(self, requests: Sequence[Request]) -> list[Generated]:
        rows, sampler = self._run(requests)
        finite, choices = sampler.finite.tolist(), sampler.choices()
        return [
            self._cut(row, request, ok, chosen)
            for row, request, ok, chosen in zip(rows, requests, finite, choices, strict=True)
        ]

    def _run(self, requests: Sequence[Request], first_tokens: int = 0) -> tuple[list[list[int]], _SeededChoice]:
        """New tokens of each row, cut nowhere, and what chose them. first_tokens: of so many the likelihood is kept."""
        width = max(len(request.prompt_ids) for request in requests)
        new = max(request.max_new_tokens for request in requests)
        if width + new > self._context:
            raise UserError(
                f"a prompt of {width} tokens and {new} new ones exceed the model's context of {self._context}"
            )
        ids = torch.full((len(requests), width), self._pad)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(requests):
            ids[row, width - len(request.prompt_ids) :] = torch.tensor(request.prompt_ids)
            mask[row, width - len(request.prompt_ids) :] = 1
        sampler = _SeededChoice(requests, width, self._device, first_tokens)
        rows = self._until_all_ended(ids.to(self._device), mask.to(self._device), requests, sampler)
        return rows, sampler

    def _until_all_ended(
        self, tokens: Tensor, mask: Tensor, requests: Sequence[Request], sampler: _SeededChoice
    ) -> list[list[int]]:
        """The new tokens of each request. tokens, mask: (B, width) the prompts, padded on the left."""
        width, new = tokens.shape[1], max(request.max_new_tokens for request in requests)
        limits = torch.tensor([request.max_new_tokens for request in requests], device=self._device)
        stop = torch.tensor(self._stop, device=self._device)
        cache = growing_cache(self._model.config, width + new)
        ended: dict[int, list[int]] = {}
        running = torch.arange(len(requests), device=self._device)
        for done in range(0, new, TOKENS_BETWEEN_LOOKS):
            more = min(TOKENS_BETWEEN_LOOKS, new - done)
            tokens = self._continued(tokens, mask, more, cache, sampler)
            has_ended = torch.isin(tokens[:, width:], stop).any(dim=1) | (limits[running] <= done + more)
            ended.update(zip(running[has_ended].tolist(), tokens[has_ended, width:].tolist(), strict=True))
            kept = (~has_ended).nonzero()[:, 0]
            if not len(kept):
                break
            if len(kept) < len(running):
                tokens, mask, running = tokens[kept], mask[kept], running[kept]
                cache.batch_select_indices(kept)
                sampler.keep(running)
            mask = torch.nn.functional.pad(mask, (0, more), value=1)
        return [ended[row] for row in range(len(requests))]

    def _continued(self, tokens: Tensor, mask: Tensor, more: int, cache: Cache, sampler: _SeededChoice) -> Tensor:
        """Tokens (B, T) with so many more; of all but the last one of a row that goes on the cache knows."""
        return cast(Any, self._model).generate(
            input_ids=tokens,
            attention_mask=mask,
            past_key_values=cache,
            max_new_tokens=more,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=self._stop,
            pad_token_id=self._pad,
            logits_processor=LogitsProcessorList([sampler]),
            disable_compile=True,
        )

    def _cut(self, row: list[int], request: Request, finite: bool, choices: Sequence[Choice]) -> Generated:
        for position, token in enumerate(row[: request.max_new_tokens]):
            if token in self._stop:
                return Generated(tuple(row[:position]), "stop", finite, tuple(choices[: position + 1]))
        return Generated(
            tuple(row[: request.max_new_tokens]), "length", finite, tuple(choices[: request.max_new_tokens])
        )

    @torch.inference_mode()
    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """Requests that differ in their last token only (answers of one word) share one forward pass."""
        by_input: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            by_input[request.token_ids[:-1]].append(index)
        results: dict[int, ScoredTokens] = {}
        for inputs in _token_batches(sorted(by_input, key=len), SCORED_TOKENS_PER_BATCH):
            states = self._hidden_states(inputs)
            for row, prefix in enumerate(inputs):
                start = min(requests[i].start for i in by_input[prefix])
                logits = self._model.lm_head(states[row, start - 1 : len(prefix)]).float()
                log_probabilities = logits.log_softmax(dim=-1)
                likeliest = logits.argmax(dim=-1)
                for i in by_input[prefix]:
                    shift = requests[i].start - start
                    results[i] = _pick(requests[i], log_probabilities[shift:], likeliest[shift:])
        return [results[i] for i in range(len(requests))]

    @torch.inference_mode()
    def first_tokens(self, prompts: Sequence[tuple[int, ...]], count: int) -> list[dict[int, float]]:
        """See harness.engines.base.Engine."""
        _, sampler = self._run([Request(prompt, 1) for prompt in prompts], count)
        return sampler.first

    def weights_fingerprint(self) -> str:
        """See harness.engines.base.Engine."""
        return model_fingerprint(self._model)

    def rest(self) -> None:
        """It holds nothing between two calls: the weights are the model's own, and a cache ends with its batch."""

    def close(self) -> None:
        """Likewise."""

    def _hidden_states(self, inputs: Sequence[tuple[int, ...]]) -> Tensor:
        """(B, T, d_model) for right-padded inputs; causal attention keeps padding out of sight."""
        width = max(len(ids) for ids in inputs)
        if width >= self._context:
            raise UserError(f"a text of {width + 1} tokens exceeds the model's context of {self._context}")
        padded = torch.tensor([[*ids, *[self._pad] * (width - len(ids))] for ids in inputs], device=self._device)
        return self._model.model(input_ids=padded, use_cache=False).last_hidden_state


def _pick(request: ScoreRequest, log_probabilities: Tensor, likeliest: Tensor) -> ScoredTokens:
    targets = torch.tensor(request.token_ids[request.start :], device=likeliest.device)
    chosen = log_probabilities.gather(1, targets[:, None])[:, 0]
    return ScoredTokens(tuple(chosen.tolist()), tuple((likeliest == targets).tolist()))


class _SeededChoice(LogitsProcessor):
    """Chooses the tokens of sampled rows itself, each by its own request's random numbers, and leaves greedy ones.

    It also notes rows whose logits are not finite, the two likeliest tokens of greedy rows at every step, and, of as
    many as are asked for, the log-probabilities of the likeliest first tokens.
    """

    def __init__(
        self, requests: Sequence[Request], prompt_width: int, device: torch.device, first_tokens: int = 0
    ) -> None:
        self._width = prompt_width
        self._first_tokens = first_tokens
        self.first: list[dict[int, float]] = []
        uniform = np.zeros((len(requests), max((r.max_new_tokens for r in requests if r.temperature > 0), default=0)))
        for row, request in enumerate(requests):
            if request.temperature > 0:
                draws = seeded_choice.random_numbers(request.seed, request.max_new_tokens)
                uniform[row, : len(draws)] = draws
        self._uniform = torch.tensor(uniform, device=device)
        self._temperature = torch.tensor([[request.temperature] for request in requests], device=device)
        self.finite = torch.ones(len(requests), dtype=torch.bool, device=device)
        self._likeliest: list[tuple[Tensor, Tensor, Tensor]] = []
        self.keep(torch.arange(len(requests), device=device))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone. rows: (n,), their places among the requests."""
        sampled = self._temperature[rows, 0] > 0
        self._rows = rows
        self._sampled, self._greedy = sampled.nonzero()[:, 0], (~sampled).nonzero()[:, 0]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores: (n, V). Sampled rows come back with one finite entry, the chosen token's."""
        self.finite[self._rows] &= torch.isfinite(scores).all(dim=1)
        if self._first_tokens and not self.first:
            top = scores.float().log_softmax(dim=-1).topk(self._first_tokens, dim=-1)
            self.first = [
                dict(zip(*row, strict=True)) for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
            ]
        if len(self._greedy):
            top = scores[self._greedy].float().log_softmax(dim=-1).topk(2, dim=-1)
            self._likeliest.append((self._rows[self._greedy], top.indices, top.values))
        step = input_ids.shape[1] - self._width
        if len(self._sampled) == 0 or step >= self._uniform.shape[1]:
            return scores
        rows, asked = scores[self._sampled], self._rows[self._sampled]
        tokens = seeded_choice.choose(rows, self._temperature[asked], self._uniform[asked, step : step + 1])
        scores = scores.clone()
        scores[self._sampled] = seeded_choice.only(tokens, rows)
        return scores

    def choices(self) -> list[list[Choice]]:
        """Of each row, for every step the two likeliest tokens; none of sampled rows. NaN is no number, and None."""
        found: list[list[Choice]] = [[] for _ in self.finite]
        for rows, indices, values in self._likeliest:
            for row, (token, other), pair in zip(rows.tolist(), indices.tolist(), values.tolist(), strict=True):
                likely, less = (value if math.isfinite(value) else None for value in pair)
                found[row].append((token, likely, other, less))
        return found


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    bounds = [*range(0, len(items), size), len(items)]
    return (items[low:high] for low, high in pairwise(bounds))


def _token_batches(inputs: Sequence[tuple[int, ...]], tokens: int) -> Iterator[list[tuple[int, ...]]]:
    """Inputs, sorted by length, in batches of at most `tokens` tokens with padding."""
    batch: list[tuple[int, ...]] = []
    for ids in inputs:
        if batch and (len(batch) + 1) * len(ids) > tokens:
            yield batch
            batch = []
        batch.append(ids)
    if batch:
        yield batch
