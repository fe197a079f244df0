"""Work that a benchmark asks of a model, in texts and tokens, and its sum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Work:
    """Work that adds up.

    prompt_tokens: read before a text is generated. scored_tokens: whose likelihood is asked for, with their contexts.
    forward_tokens: through all blocks for importance, Grams, probes and receipts; backward_tokens: those that also go
    back. backward_examples: pairs whose gradients are formed one by one. gram_tokens: whose products are added to
    Grams. factored_models: times that directions are computed for all layers. tuned_tokens: in fine-tuning steps.
    """

    texts: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    scored_tokens: int = 0
    forward_tokens: int = 0
    backward_tokens: int = 0
    backward_examples: int = 0
    gram_tokens: int = 0
    factored_models: int = 0
    tuned_tokens: int = 0
    tuned_steps: int = 0

    def __add__(self, other: Work) -> Work:
        """Both."""
        return Work(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


NOTHING = Work()


def total(parts: Iterable[Work]) -> Work:
    """All of it."""
    return sum(parts, NOTHING)
