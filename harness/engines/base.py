"""What an engine does: generate from token ids, and say how likely given tokens are.

An engine is a module with `make(loaded)`, which gives an Engine; `version()`, the name and version of what computes;
and `problems(variant)`, in words and with the next step why it cannot run that variant on this machine, if it cannot:
asked before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from harness.spec.measurement import Choice

#: What keys and values of texts generated at once take of a device's free memory. A plan assumes it for every engine.
CACHE_SHARE_OF_FREE_DEVICE_MEMORY = 0.5
#: Tokens of texts that are scored at once. A plan assumes them for every engine.
SCORED_TOKENS_PER_BATCH = 8192


@dataclass(frozen=True)
class Request:
    """One text to generate. temperature 0 is greedy; `seed` alone decides what is sampled."""

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 0.0
    seed: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Generated:
    """Tokens without the stop token. `finite` is False if the model gave NaN logits on the way.

    choices: of a greedy text, for each of its tokens and for the stop token: the token, its log-probability in nats,
    the runner-up and its log-probability. By these two engines are compared; rounding moves them, so that they are no
    part of whether two outputs are equal.
    """

    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"]
    finite: bool
    choices: tuple[Choice, ...] = field(default=(), compare=False)


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


class Scorer(Protocol):
    """The part of an engine that gives log-likelihoods."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """Log-probabilities in the order of the requests."""


class NotedRequests:
    """In the place of an engine: notes what it is asked to score, and computes nothing."""

    def __init__(self) -> None:
        self.requests: list[ScoreRequest] = []

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """See Scorer."""
        self.requests += requests
        return [ScoredTokens((0.0,), (False,)) for _ in requests]


class Engine(Scorer, Protocol):
    """Weights are edited in the model that the engine was made from; the engine sees the edit at once."""

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer."""

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Answers in the order of the requests, the same whatever else is in the batch."""

    def first_tokens(self, prompts: Sequence[tuple[int, ...]], count: int) -> list[dict[int, float]]:
        """For each prompt the `count` likeliest first tokens of an answer, with their log-probabilities in nats.

        They come the way by which `generate` makes texts, its batches and caches included.
        """

    def weights_fingerprint(self) -> str:
        """`model_fingerprint` of the weights that the engine would compute with now, read where it keeps them."""

    def rest(self) -> None:
        """Give the accelerator's memory back for now; the next call that needs it takes it again.

        Called before transformers scores or trains on the same accelerator.
        """

    def close(self) -> None:
        """Give everything back; the engine is not used again."""
