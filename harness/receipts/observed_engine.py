"""An engine that notes what it was asked for and what it gave: what an evaluation really sent, not what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.engines.base import Engine, Generated, Request, ScoredTokens, ScoreRequest


@dataclass
class Observed:
    """What passed between one evaluation and the engine."""

    generated: list[tuple[Request, Generated]] = field(default_factory=list)
    scored: list[tuple[ScoreRequest, ScoredTokens]] = field(default_factory=list)


class ObservedEngine:
    """See harness.engines.base.Engine: the engine behind it does the work."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.observed = Observed()

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """See harness.engines.base.Engine."""
        return self._engine.stop_token_ids

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """See harness.engines.base.Engine."""
        outputs = self._engine.generate(requests)
        self.observed.generated += zip(requests, outputs, strict=True)
        return outputs

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """See harness.engines.base.Engine."""
        outputs = self._engine.score(requests)
        self.observed.scored += zip(requests, outputs, strict=True)
        return outputs

    def first_tokens(self, prompts: Sequence[tuple[int, ...]], count: int) -> list[dict[int, float]]:
        """See harness.engines.base.Engine."""
        return self._engine.first_tokens(prompts, count)

    def weights_fingerprint(self) -> str:
        """See harness.engines.base.Engine."""
        return self._engine.weights_fingerprint()
