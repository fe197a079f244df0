"""What an engine does: generate from token ids, and say how likely given tokens are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Request:
    """One text to generate. temperature 0 is greedy; `seed` alone decides what is sampled."""

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 0.0
    seed: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Generated:
    """Tokens without the stop token. `finite` is False if the model gave NaN logits on the way."""

    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"]
    finite: bool


@dataclass(frozen=True)
class ScoredTokens:
    """Of the tokens from `start` on: log-probabilities (nats), and whether each was the likeliest."""

    log_probabilities: tuple[float, ...]
    likeliest: tuple[bool, ...]


@dataclass(frozen=True)
class ScoreRequest:
    """Score token_ids[start:] given all tokens before them; start is at least 1."""

    token_ids: tuple[int, ...]
    start: int


class Engine(Protocol):
    """Weights are edited in the model that the engine was made from; the engine sees the edit at once."""

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer."""

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Answers in the order of the requests, the same whatever else is in the batch."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """Log-probabilities in the order of the requests."""

    def first_tokens(self, prompts: Sequence[tuple[int, ...]], count: int) -> list[dict[int, float]]:
        """For each prompt the `count` likeliest first tokens of an answer, with their log-probabilities in nats.

        They come the way by which `generate` makes texts, its batches and caches included.
        """

    def weights_fingerprint(self) -> str:
        """`model_fingerprint` of the weights that the engine would compute with now, read where it keeps them."""
