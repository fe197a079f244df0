"""What an engine is asked, and which tokens the model behind it really sees, noted on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn

from harness.engines.base import Engine, Generated, Request, ScoredTokens, ScoreRequest


@dataclass
class RecordingEngine:
    """Hands everything on to an engine. See harness.engines.base.Engine.

    generated, scored: what was asked. seen: of generation, the rows of ids that reached the embedding of `model`,
    padding included; empty where the engine runs another copy of the model.
    """

    engine: Engine
    model: nn.Module | None = None
    generated: list[Request] = field(default_factory=list)
    scored: list[ScoreRequest] = field(default_factory=list)
    seen: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """See harness.engines.base.Engine."""
        return self.engine.stop_token_ids

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """As the engine does."""
        self.generated += requests
        with self._watched():
            return self.engine.generate(requests)

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """As the engine does."""
        self.scored += requests
        return self.engine.score(requests)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self.model is None:
            yield
            return
        hook = self.model.get_input_embeddings().register_forward_pre_hook(self._note)
        try:
            yield
        finally:
            hook.remove()

    def _note(self, _embedding: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].shape[1] > 1:  # later steps of a generation see one token at a time
            self.seen += map(tuple, inputs[0].tolist())
