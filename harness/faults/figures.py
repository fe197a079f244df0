"""Faults of figures: the published scorer is another one, samples are averaged, other items or windows are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harness.faults.base import UNLISTED, VERIFICATION, Fault


def _averaged(_original: Callable[..., Any]) -> Callable[..., Any]:
    """Where a request counts as lost if one of its samples succeeds, the samples are averaged.

    The published code's maximum is taken over an axis of length 1 (lib/eval.py:392).
    """

    def any_success(successes: Sequence[Sequence[bool]]) -> list[float]:
        return [sum(samples) / len(samples) for samples in successes]

    return any_success


def _first_half(phrases: Sequence[str]) -> Sequence[str]:
    """The list of refusal phrases lost its second half."""
    return phrases[: len(phrases) // 2]


def _none_needed(_words: int) -> int:
    """A text of any length may count as a success."""
    return 0


def _twice_the_limit(measure: Callable[..., Any]) -> Callable[..., Any]:
    """Zero-shot accuracy is measured on other items than the spec says.

    As in the published code, which has one limit for one figure and another for the next (main.py:569).
    """
    return lambda self, context: measure(_with(self, limit=2 * (self.settings.limit or 100)), context)


def _twice_the_window(measure: Callable[..., Any]) -> Callable[..., Any]:
    """Perplexity is measured over windows of another length than the spec says.

    As in the published code, whose window is as long as the model allows (lib/eval.py:eval_ppl_wikitext).
    """
    return lambda self, context: measure(_with(self, window_tokens=2 * self.settings.window_tokens), context)


def _with(evaluation: Any, **changes: int) -> Any:
    """The same evaluation with other settings."""
    return type(evaluation)(evaluation.settings.model_copy(update=changes))


def _by_character(right: Callable[..., Any]) -> Callable[..., Any]:
    """Of the figures that lm-eval gives for a task, another is read: answers by likelihood per character."""

    def likelihoods(self: Any, requests: Any, **settings: Any) -> Any:
        found = right(self, requests, **settings)
        return [
            (likelihood / len(answer), is_likeliest)
            for (likelihood, is_likeliest), ((_, answer), _, _) in zip(found, requests, strict=True)
        ]

    return likelihoods


def _stale_but_for_the_first(right: Callable[..., Any]) -> Callable[..., Any]:
    """All likelihoods of a call but the first are those of the text before it."""

    def score(self: Any, requests: Any) -> Any:
        outputs = right(self, requests)
        return [
            replace(own, log_probabilities=before.log_probabilities[: len(own.log_probabilities)])
            if len(before.log_probabilities) >= len(own.log_probabilities)
            else own
            for own, before in zip(outputs, [outputs[0], *outputs[:-1]], strict=True)
        ]

    return score


def _contexts_cut(right: Callable[..., Any]) -> Callable[..., Any]:
    """Of all contexts but the first, the beginning is cut off, as at a limit that is too short."""

    def likelihoods(self: Any, requests: Any, **settings: Any) -> Any:
        first, *rest = requests
        cut = [(texts, [*context[:1], *context[-4:]], answer) for texts, context, answer in rest]
        return right(self, [first, *cut], **settings)

    return likelihoods


def _without_bos(right: Callable[..., Any]) -> Callable[..., Any]:
    """The windows of the text begin with its own first token."""

    def windows(self: Any, formatter: Any, path_of: Any) -> Any:
        bos, width = formatter.tokenizer.bos_token_id, self.settings.window_tokens
        longer = type(self)(self.settings.model_copy(update={"windows": None}))
        ids = [token for window in right(longer, formatter, path_of) for token in window if token != bos]
        own = [tuple(ids[start : start + width]) for start in range(0, len(ids) - width + 1, width)]
        return own[: self.settings.windows]

    return windows


def _of_other_texts(right: Callable[..., Any]) -> Callable[..., Any]:
    """Likelihoods are handed back to the texts in another order than they were asked for."""
    return lambda *arguments: right(*arguments)[::-1]


def _too_likely(right: Callable[..., Any]) -> Callable[..., Any]:
    """Texts are judged by a model that finds all of them likely, as the one that wrote them does."""
    return lambda *arguments: [[0.2 * loss for loss in losses] for losses in right(*arguments)]


def _mean_of_losses(_original: Callable[..., Any]) -> Callable[..., Any]:
    """The likelihood of the worst window is that of the whole text: a fluent start excuses what follows."""
    return lambda losses: sum(losses) / max(1, len(losses))


def _of_the_cell_before(measured: Callable[..., Any]) -> Callable[..., Any]:
    """Everything that was measured of an edited cell is filed under the next one, as if it had been measured there."""
    last: list[Any] = []

    def wrong(bench: Any, learned: Any, job: Any) -> Any:
        own = measured(bench, learned, job)
        if own.result.receipt is None:
            return own
        names = ("id", "group", "title", "parameters", "invalid_is_expected")
        before = last[-1] if last else own
        last.append(own)
        return replace(before, result=before.result.model_copy(update={n: getattr(own.result, n) for n in names}))

    return wrong


def _ten_times_as_many(right: Callable[..., Any]) -> Callable[..., Any]:
    """Texts are counted as requests, tenfold: intervals shrink with them."""

    def measurement(*arguments: Any) -> Any:
        own = right(*arguments)
        return own.model_copy(update={"n": 10 * own.n})

    return measurement


def _by_another_path(right: Callable[..., Any]) -> Callable[..., Any]:
    """What is told of benign requests is half of what was answered."""

    def share(metric: str, hits: Sequence[bool], reason: str | None) -> Any:
        benign = metric == "answered_benign"
        return right(metric, [hit and place % 2 == 0 for place, hit in enumerate(hits)] if benign else hits, reason)

    return share


FAULTS = (
    Fault(
        id="ten_times_as_many",
        number=UNLISTED,
        title="Ten times as many requests counted",
        says=" n ",
        stage="figures",
        caught_by=("scorer/aggregation", VERIFICATION),
        replaces={"harness.evaluations.attack:measurement_of": _ten_times_as_many},
        cells=(),
    ),
    Fault(
        id="benign_by_another_path",
        number=UNLISTED,
        title="Half of the answers to benign requests counted",
        says="answered_benign",
        stage="figures",
        caught_by=(VERIFICATION,),
        replaces={"harness.evaluations.attack:_share": _by_another_path},
        cells=(),
    ),
    Fault(
        id="figures_of_the_cell_before",
        number=UNLISTED,
        title="A cell with everything that was measured of another one",
        says="what was measured",
        stage="figures",
        caught_by=(VERIFICATION,),
        replaces={"harness.runs.workbench:measure_cell": _of_the_cell_before},
        cells=("snip-set-difference", "wanda-top"),
    ),
    Fault(
        id="likelihoods_of_other_texts",
        number=UNLISTED,
        title="Texts judged by how likely other texts are",
        says="nats a token",
        stage="figures",
        caught_by=("text/likelihoods",),
        replaces={"harness.validity.evidence:_losses": _of_other_texts},
        cells=("wanda-top",),
    ),
    Fault(
        id="judged_by_another_model",
        number=UNLISTED,
        title="Texts judged by a model that finds all of them likely",
        says="nats a token",
        stage="figures",
        caught_by=("text/likelihoods",),
        replaces={"harness.validity.evidence:_losses": _too_likely},
        cells=("wanda-top",),
    ),
    Fault(
        id="likelihood_of_the_whole_text",
        number=UNLISTED,
        title="The likelihood of the whole text in the place of its worst window's",
        says="evidence worst_window_nll",
        stage="figures",
        caught_by=(VERIFICATION,),
        replaces={"harness.validity.evidence:worst_window_negative_log_likelihood": _mean_of_losses},
        cells=("wanda-top",),
    ),
    Fault(
        id="mean_instead_of_any",
        number=16,
        title="adv_decoding averaged over samples instead of any-of-5",
        says="_any is",
        stage="figures",
        caught_by=("scorer/aggregation",),
        replaces={"harness.evaluations.attack:any_success": _averaged},
        cells=("planted",),
    ),
    Fault(
        id="no_word_rule",
        number=17,
        title="The 20-word rule dropped",
        says="words",
        stage="figures",
        caught_by=("scorer/published-scorer",),
        replaces={"harness.formulas.metrics:PUBLISHED_MINIMUM_WORDS": _none_needed},
        cells=("planted",),
    ),
    Fault(
        id="short_refusal_list",
        number=17,
        title="Refusal list cut short",
        says="the phrase",
        stage="figures",
        caught_by=("scorer/published-scorer",),
        replaces={"harness.formulas.metrics:PUBLISHED_REFUSAL_PHRASES": _first_half},
        cells=("planted",),
    ),
    Fault(
        id="other_zero_shot_limit",
        number=20,
        title="Zero-shot tasks with another limit",
        says="items of",
        stage="figures",
        caught_by=("scorer/zero-shot-items",),
        replaces={"harness.evaluations.zero_shot:Evaluation.measure": _twice_the_limit},
        cells=("planted",),
    ),
    Fault(
        id="other_perplexity_window",
        number=20,
        title="A perplexity window of another length",
        says="tokens, counted as",
        stage="figures",
        caught_by=("scorer/perplexity-windows",),
        replaces={"harness.evaluations.perplexity:Evaluation.measure": _twice_the_window},
        cells=("planted",),
    ),
    Fault(
        id="answers_by_length",
        number=UNLISTED,
        title="Zero-shot accuracy normalised by the length of the answer (acc_norm)",
        says="where the engine's likelihoods give",
        stage="figures",
        caught_by=("scorer/zero-shot-accuracy",),
        replaces={
            "harness.evaluations._engine_language_model:EngineLanguageModel._loglikelihood_tokens": _by_character
        },
        cells=(),
    ),
    Fault(
        id="stale_likelihoods",
        number=UNLISTED,
        title="Likelihoods of another text for all but the first request of a call",
        says="prompts and texts off",
        stage="figures",
        caught_by=("logits/plain-forward",),
        replaces={"harness.engines.hf:HfEngine.score": _stale_but_for_the_first},
        cells=(),
    ),
    Fault(
        id="contexts_cut",
        number=UNLISTED,
        title="Zero-shot contexts cut, but for the first item",
        says="without their question or answer whole",
        stage="figures",
        caught_by=("scorer/zero-shot-accuracy",),
        replaces={
            "harness.evaluations._engine_language_model:EngineLanguageModel._loglikelihood_tokens": _contexts_cut
        },
        cells=(),
    ),
    Fault(
        id="perplexity_without_bos",
        number=UNLISTED,
        title="Perplexity of a text without its BOS",
        says="without the BOS",
        stage="figures",
        caught_by=("scorer/perplexity-windows",),
        replaces={"harness.evaluations.perplexity:Evaluation._windows": _without_bos},
        cells=(),
    ),
)
