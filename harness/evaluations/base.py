"""What evaluations share: the class that each of them derives from, the context they run in and what they give back.

An evaluation is a module with `Settings`, which derive from those of harness/spec/evaluation.py, and
`class Evaluation(base.Evaluation[Settings])`, or `base.TextEvaluation` where the model writes texts for it. What it
decodes, which data it needs and in which cells it is measured, its settings say, and torch is not imported for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from harness import plugins
from harness.errors import UserError
from harness.evaluations._context import EvaluationContext, EvaluationResult, Sizes, Training, Unloaded
from harness.formulas.statistics import Estimate
from harness.formulas.work import NOTHING, Work
from harness.spec.evaluation import DeclaredEvaluation, DeclaredTexts
from harness.spec.measurement import Choice, Completion, Measurement
from harness.spec.receipt import StageReceipt

if TYPE_CHECKING:
    from harness.models.prompts import PromptFormatter
    from harness.receipts.observed_engine import Observed
    from harness.spec.region import Region
    from harness.spec.variant import ModelVariant

__all__ = [
    "Evaluation",
    "EvaluationContext",
    "EvaluationResult",
    "Scoring",
    "Sizes",
    "TextEvaluation",
    "Training",
    "Unfit",
    "Unloaded",
    "evaluation",
    "finite",
    "measurement_of",
    "unchecked_figures",
]

#: Why a rate over completions means nothing, or None if it means something.
Unfit = Callable[[Sequence[Completion]], str | None]
Declared = TypeVar("Declared", bound=DeclaredEvaluation)
DeclaredOfTexts = TypeVar("DeclaredOfTexts", bound=DeclaredTexts)


#: What scoring regions of the model anew takes.
Scoring = Callable[[Sequence["Region"]], Work]


class Evaluation(Generic[Declared]):
    """One evaluation of a spec. Every method but `measure` has a default.

    prepares: whether `prepare` looks at the intact model of a cell.
    scores_prompts: whether the texts that the engine scores for it are prompts, each behind one BOS.
    """

    prepares: ClassVar[bool] = False
    scores_prompts: ClassVar[bool] = False

    def __init__(self, settings: Declared) -> None:
        self.settings = settings

    def read_data(self, variant: ModelVariant, path_of: Callable[[str], Path]) -> None:
        """Read what it measures with, before any weight is loaded. path_of: the checked file behind a dataset name.

        Raises UserError where it is not there, cannot be read, or is other than was fetched.
        """

    def check_tokens(self, unloaded: Unloaded) -> None:
        """Compare its data with what it asks of them in tokens, before any weight is loaded.

        Raises UserError, with the file, where they hold too few, or more than the model takes at once.
        """

    def prepare(self, context: EvaluationContext) -> Any:
        """Called on the intact model before a cell's weights are changed; comes back in `context.prepared`."""
        return None

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """What the engine or the model gives under the cell's weights. Texts are judged afterwards."""
        raise NotImplementedError(f"the evaluation {self.settings.kind!r} measures nothing")

    def figures(self, completions: Sequence[Completion], unfit: Unfit) -> list[Measurement]:
        """Figures of its judged texts. unfit: why a rate over some of them means nothing."""
        return []

    def requests(self, path_of: Callable[[str], Path]) -> list[str]:
        """What it asks, without system prompt, chat template and suffix, by `prompt_index` of its texts.

        path_of: the file behind a dataset name.
        """
        return []

    def figures_by_judge(self, judge: str, completions: Sequence[Completion], unfit: Unfit) -> list[Measurement]:
        """Figures of what a judge that its settings name said of its texts, which stands in their `judgements`.

        Where it said nothing, `unfit` has the reason.
        """
        return []

    def first_window(self, context: EvaluationContext) -> tuple[int, ...]:
        """Ids of a text whose likelihood is compared before and after the change, or nothing."""
        return ()

    def receipts(
        self, context: EvaluationContext, observed: Observed, measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """What `measure` claims, against what passed to the engine. Called under the cell's weights."""
        return []

    @classmethod
    def figure_receipts(
        cls, entries: Sequence[Any], completions: Sequence[Completion], measurements: Sequence[Measurement]
    ) -> list[StageReceipt]:
        """Figures of judged texts, made a second time, once for all `entries` of this kind in a cell.

        entries: evaluations of this class with texts. completions, measurements: all of the cell.
        """
        return []

    @property
    def unchecked(self) -> str | None:
        """In words, that nothing makes its figures a second time; None where a receipt does."""
        own, default = type(self), Evaluation
        if own.receipts is not default.receipts or _function(own.figure_receipts) is not _function(
            default.figure_receipts
        ):
            return None
        return f"evaluation {self.settings.name}: no receipt makes its figures a second time"

    def work(self, sizes: Sizes, scoring: Scoring) -> Work:
        """What it asks of the model in one cell. scoring: what scoring regions anew takes, receipts included."""
        return NOTHING


def _to_seven_digits(choice: Choice) -> Choice:
    """As many as a float32 holds: the others would be half of all that a run stores."""
    token, likely, other, less = choice
    return token, _rounded(likely), other, _rounded(less)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.7g}")


def _function(method: Any) -> Any:
    return method.__func__


class TextEvaluation(Evaluation[DeclaredOfTexts]):
    """One that asks requests and is given texts, as its settings declare. What is left to say are its `figures`.

    Prompts, decoding and texts are checked by what the settings declare, whatever is made of them here.
    """

    def measure(self, context: EvaluationContext) -> EvaluationResult:
        """All texts, still to be judged. Raises UserError where the dataset holds too few requests."""
        from harness.engines.base import Request

        settings = self.settings
        plan = self._plan(context)
        limit = min(settings.max_new_tokens, context.variant.max_new_tokens)
        requests = [
            Request(
                tuple(context.formatter.ids(prompt)),
                limit,
                settings.temperature,
                (settings.seed, index, number, sample),
            )
            for index, number, sample, prompt in plan
        ]
        outputs = context.engine.generate(requests)
        return EvaluationResult(
            completions=tuple(
                Completion(
                    evaluation=settings.name,
                    prompt_index=index,
                    sample_index=sample,
                    suffix_index=number if settings.suffixes else None,
                    seed=request.seed,
                    prompt=prompt,
                    text=context.formatter.answer(output.token_ids),
                    token_ids=output.token_ids,
                    finish_reason=output.finish_reason,
                    evidence={} if output.finite else {"non_finite_logits": 1.0},
                    choices=tuple(map(_to_seven_digits, output.choices)),
                )
                for (index, number, sample, prompt), request, output in zip(plan, requests, outputs, strict=True)
            )
        )

    def requests(self, path_of: Callable[[str], Path]) -> list[str]:
        """The first of its dataset. Raises UserError where that holds too few."""
        from harness.calibration.files import read_lines

        settings = self.settings
        requests = read_lines(path_of(settings.dataset))
        if len(requests) < settings.prompts:
            raise UserError(
                f"the dataset {settings.dataset!r} holds {len(requests)} requests, {settings.prompts} are asked for"
            )
        return requests[: settings.prompts]

    def check_tokens(self, unloaded: Unloaded) -> None:
        """No prompt with its new tokens is longer than the model's context."""
        settings, most = self.settings, unloaded.context_tokens
        new = min(settings.max_new_tokens, unloaded.variant.max_new_tokens)
        prompts = self._prompts(unloaded.formatter, unloaded.path_of)
        lengths = {(index, suffix): len(unloaded.formatter.ids(prompt)) for index, suffix, prompt in prompts}
        (index, suffix), longest = max(lengths.items(), key=lambda each: each[1])
        if longest + new > most:
            which = f"request {index + 1}" + (f" with suffix {suffix + 1}" if settings.suffixes else "")
            raise UserError(
                f"{unloaded.path_of(settings.dataset)}: {which} is a prompt of {longest} tokens, and {new} new ones "
                f"follow; expected at most {most} together, the model's context: leave out the request, or lower "
                f"max_new_tokens of {settings.name}"
            )

    def _plan(self, context: EvaluationContext) -> list[tuple[int, int, int, str]]:
        """(number of the request, of the suffix, of the sample, prompt) of every text."""
        return [
            (index, number, sample, prompt)
            for index, number, prompt in self._prompts(context.formatter, context.path_of)
            for sample in range(self.settings.samples)
        ]

    def _prompts(self, formatter: PromptFormatter, path_of: Callable[[str], Path]) -> Iterator[tuple[int, int, str]]:
        """(number of the request, of the suffix, prompt), each once."""
        from harness.calibration.files import read_lines
        from harness.models.prompts import PromptStyle

        settings = self.settings
        suffixes: list[str | None] = [None]
        if settings.suffixes:
            suffixes = list(read_lines(path_of(settings.suffixes)))
        style = PromptStyle(settings.system_prompt, settings.chat_template)
        for index, request in enumerate(self.requests(path_of)):
            for number, suffix in enumerate(suffixes):
                yield index, number, formatter.text(request, style, suffix)

    def work(self, sizes: Sizes, scoring: Scoring) -> Work:
        """Texts as long as they may become, and the evidence that they are judged by."""
        from harness.validity.evidence import SCORED_TOKENS

        prompts = sizes.prompts(self.settings)
        limit = min(self.settings.max_new_tokens, sizes.variant.max_new_tokens)
        evidence = 1 + min(limit, SCORED_TOKENS)  # behind BOS
        return Work(
            texts=len(prompts),
            prompt_tokens=sum(prompts),
            generated_tokens=len(prompts) * limit,
            scored_tokens=len(prompts) * evidence,
        )


def evaluation(settings: DeclaredEvaluation) -> Evaluation[Any]:
    """The evaluation that a spec's entry declares. Raises UserError where its module holds none."""
    declared = plugins.load("evaluations", settings.kind).Evaluation
    if not (isinstance(declared, type) and issubclass(declared, Evaluation)):
        raise plugins.unfit(
            "evaluations", settings.kind, "its Evaluation derives from no harness.evaluations.base.Evaluation"
        )
    plugins.refuse_without("evaluations", settings.kind, declared, Evaluation, "measure")
    made: Evaluation[Any] = declared(settings)
    return made


def unchecked_figures(entries: Sequence[DeclaredEvaluation]) -> list[str]:
    """In words, which evaluations give figures that nothing makes a second time."""
    return [words for settings in entries if (words := evaluation(settings).unchecked) is not None]


def finite(values: Sequence[float]) -> tuple[float | None, ...]:
    """Numbers as JSON can hold them: None for one that is none."""
    return tuple(float(value) if math.isfinite(value) else None for value in values)


def measurement_of(metric: str, estimate: Estimate, invalid_reason: str | None = None) -> Measurement:
    """The measurement that an estimate makes; with a reason, one that counts for nothing."""
    return Measurement(
        metric=metric,
        value=estimate.value,
        n=estimate.n,
        standard_error=estimate.standard_error,
        interval=estimate.interval,
        valid=invalid_reason is None,
        reason=invalid_reason,
    )
