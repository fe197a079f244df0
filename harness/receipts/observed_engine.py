"""An engine that notes what it was asked, what it gave and which tokens reached the model: not what anybody says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.engines.base import Engine, Generated, Request, ScoredTokens, ScoreRequest


@dataclass
class Observed:
    """What passed between one evaluation and the engine.

    seen: of generation, the rows of ids that reached the model's embedding, padding included; empty where the
    engine runs another copy of the model. calls: how many texts each call scored.
    """

    generated: list[tuple[Request, Generated]] = field(default_factory=list)
    scored: list[tuple[ScoreRequest, ScoredTokens]] = field(default_factory=list)
    seen: list[tuple[int, ...]] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)


class ObservedEngine:
    """See harness.engines.base.Engine: the engine behind it does the work, on `model` where it shares it."""

    def __init__(self, engine: Engine, model: PreTrainedModel | None = None) -> None:
        self._engine = engine
        self._model = model
        self.observed = Observed()

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """See harness.engines.base.Engine."""
        return self._engine.stop_token_ids

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """See harness.engines.base.Engine."""
        with self._watched():
            outputs = self._engine.generate(requests)
        self.observed.generated += zip(requests, outputs, strict=True)
        return outputs

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """See harness.engines.base.Engine."""
        outputs = self._engine.score(requests)
        self.observed.scored += zip(requests, outputs, strict=True)
        self.observed.calls.append(len(requests))
        return outputs

    def first_tokens(self, prompts: Sequence[tuple[int, ...]], count: int) -> list[dict[int, float]]:
        """See harness.engines.base.Engine."""
        return self._engine.first_tokens(prompts, count)

    def weights_fingerprint(self) -> str:
        """See harness.engines.base.Engine."""
        return self._engine.weights_fingerprint()

    def rest(self) -> None:
        """See harness.engines.base.Engine."""
        self._engine.rest()

    def close(self) -> None:
        """See harness.engines.base.Engine."""
        self._engine.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self._model is None:
            yield
            return
        hook = self._model.get_input_embeddings().register_forward_pre_hook(self._note)
        try:
            yield
        finally:
            hook.remove()

    def _note(self, _embedding: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].shape[1] > 1:  # later steps of a generation see one token at a time
            self.observed.seen += map(tuple, inputs[0].tolist())
