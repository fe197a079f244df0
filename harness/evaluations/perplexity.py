"""Perplexity of a text over windows of a fixed number of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.errors import UserError
from harness.evaluations import base
from harness.evaluations.base import EvaluationContext, EvaluationResult, Scoring, Sizes, Unloaded, finite
from harness.formulas.statistics import mean
from harness.formulas.work import Work
from harness.reading import read_prose
from harness.spec.common import Name
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.measurement import Measurement, RawValues
from harness.spec.receipt import StageReceipt
from harness.spec.sizes import Sizes as DeclaredSizes

if TYPE_CHECKING:
    from pathlib import Path

    from harness.models.prompts import PromptFormatter
    from harness.receipts.observed_engine import Observed
    from harness.spec.variant import ModelVariant


class Settings(DeclaredEvaluation):
    """The window is fixed in the spec, never the model's maximum: figures of two families then compare.

    windows: at most so many, from the start of the text; None takes all whole windows.
    """

    kind: Literal["perplexity"]
    name: Name = "perplexity"
    dataset: str
    window_tokens: int = Field(gt=1)
    windows: int | None = Field(default=None, gt=1)

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that have to be there."""
        return [self.dataset]

    def sizes_within(self, sizes: DeclaredSizes) -> dict[str, int | None]:
        """Of the windows."""
        return {"windows": sizes.windows}

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that `measure` gives."""
        return [self.name]


class Evaluation(base.Evaluation[Settings]):
    """The perplexity of a text, window by window."""

    def read_data(self, variant: ModelVariant, path_of: Callable[[str], Path]) -> None:
        """The text."""
        read_prose(path_of(self.settings.dataset))

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """exp of the mean negative log-likelihood of tokens 2 to W of each window, without BOS between them.

        Source: lib/eval.py:eval_ppl_wikitext of the authors' code, which uses the model's maximum as window.
        """
        from harness.engines.base import ScoreRequest

        settings, width = self.settings, self.settings.window_tokens
        windows = self._windows(context.formatter, context.path_of)
        scored = context.engine.score([ScoreRequest(window, 1) for window in windows])
        sums = [-sum(tokens.log_probabilities) for tokens in scored]
        rows = tuple(
            RawValues(evaluation=settings.name, index=index, values=finite([total]), n=width - 1)
            for index, total in enumerate(sums)
        )
        losses = [total / (width - 1) for total in sums]
        if not all(math.isfinite(loss) for loss in losses):
            reason = "the model gives text a log-likelihood that is not finite"
            return EvaluationResult(
                raw=rows,
                measurements=(
                    Measurement(metric=settings.name, value=None, n=len(windows), valid=False, reason=reason),
                ),
            )
        estimate = mean(losses)
        value = _exp(estimate.value)
        interval = (_exp(estimate.interval[0]), _exp(estimate.interval[1]))
        return EvaluationResult(
            raw=rows,
            measurements=(
                Measurement(
                    metric=settings.name,
                    value=value,
                    n=len(windows),
                    standard_error=value * estimate.standard_error,
                    interval=interval,
                ),
            ),
        )

    def check_tokens(self, unloaded: Unloaded) -> None:
        """Two windows at least, without which there is no interval, none longer than the model's context."""
        width, most = self.settings.window_tokens, unloaded.context_tokens
        if width > most:
            raise UserError(
                f"the evaluation {self.settings.name} has windows of {width} tokens; expected at most {most}, the "
                "model's context: set a smaller window_tokens"
            )
        self._windows(unloaded.formatter, unloaded.path_of)

    def _windows(self, formatter: PromptFormatter, path_of: Callable[[str], Path]) -> list[tuple[int, ...]]:
        """Token ids of the windows. Raises UserError for a text that holds fewer than two."""
        settings, width = self.settings, self.settings.window_tokens
        path = path_of(settings.dataset)
        ids = formatter.ids(read_prose(path))
        windows = [tuple(ids[start : start + width]) for start in range(0, len(ids) - width + 1, width)]
        if len(windows[: settings.windows]) < 2:
            raise UserError(
                f"{path}: holds {len(ids)} tokens, but the evaluation {settings.name} needs two windows of {width}; "
                "expected a longer text, or a smaller window_tokens"
            )
        return windows[: settings.windows]

    def first_window(self, context: EvaluationContext) -> tuple[int, ...]:
        """As the receipts read the text."""
        from harness.receipts.counts import text_tokens

        path, formatter = context.path_of(self.settings.dataset), context.formatter
        return text_tokens(path, formatter.tokenizer, formatter.opening).tokens[: self.settings.window_tokens]

    def receipts(
        self, context: EvaluationContext, observed: Observed, measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """The windows that reached the engine, and e to the mean negative log-likelihood."""
        from harness.receipts import counts, figures

        settings = self.settings
        formatter = context.formatter
        text = counts.text_tokens(context.path_of(settings.dataset), formatter.tokenizer, formatter.opening)
        return [
            counts.perplexity_windows(text, settings.window_tokens, settings.windows, observed, measurements[0].n),
            figures.perplexity_figure(settings.name, observed, measurements),
        ]

    def work(self, sizes: Sizes, scoring: Scoring) -> Work:
        """All windows."""
        settings = self.settings
        return Work(scored_tokens=sizes.windows(settings.dataset, settings.window_tokens, settings.windows))


def _exp(loss: float) -> float:
    """exp, held below the largest float: a destroyed model may find a text unlikely without bound."""
    return math.exp(min(loss, 700.0))
