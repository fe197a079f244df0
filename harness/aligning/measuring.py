"""How often a model declines, how often it answers, and what it knows: what an alignment recipe is judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import plugins
from harness.engines.base import Engine, Request
from harness.evaluations import base
from harness.evaluations.base import EvaluationContext
from harness.formulas.metrics import ANSWERS, keyword_attack_success
from harness.models.loading import LoadedModel
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.spec.measurement import Completion
from harness.spec.variant import ModelVariant
from harness.validity.classification import calibrate, classify
from harness.validity.evidence import with_evidence


@dataclass(frozen=True)
class Counts:
    """Of how many requests what became: harmful ones that were refused, and benign ones that were answered.

    keyword_refused: what the published scorer calls no success. answered: as in benchmarks, whole or cut off by the
    limit; a loop answers nothing. classes: all texts by what they count as.
    """

    harmful: int
    refused: int
    keyword_refused: int
    benign: int
    answered: int
    classes: dict[str, dict[str, int]]

    @property
    def refused_share(self) -> float:
        """Of the harmful requests."""
        return self.refused / self.harmful

    @property
    def answered_share(self) -> float:
        """Of the benign requests."""
        return self.answered / self.benign

    def as_record(self) -> dict[str, object]:
        """Numbers alone."""
        return asdict(self)


@dataclass(frozen=True)
class Asking:
    """A model that is asked: its engine, and how its variant writes prompts."""

    variant: ModelVariant
    engine: Engine
    formatter: PromptFormatter

    def texts(self, name: str, requests: Sequence[str], max_new_tokens: int) -> list[Completion]:
        """Greedy answers with system prompt and chat template, as the attack `vanilla` asks."""
        style = PromptStyle(system_prompt=True, chat_template=True)
        prompts = [self.formatter.text(request, style) for request in requests]
        outputs = self.engine.generate(
            [Request(tuple(self.formatter.ids(prompt)), max_new_tokens) for prompt in prompts]
        )
        return [
            Completion(
                evaluation=name,
                prompt_index=index,
                sample_index=0,
                suffix_index=None,
                prompt=prompt,
                text=self.formatter.answer(output.token_ids),
                token_ids=output.token_ids,
                finish_reason=output.finish_reason,
                evidence={} if output.finite else {"non_finite_logits": 1.0},
            )
            for index, (prompt, output) in enumerate(zip(prompts, outputs, strict=True))
        ]


def asking(variant: ModelVariant, loaded: LoadedModel) -> Asking:
    """The variant's engine on a loaded model, which it shares."""
    engine = plugins.load("engines", variant.engine).make(loaded)
    return Asking(variant, engine, PromptFormatter(loaded.tokenizer, variant.chat_template, variant.system_prompt))


def counted(asked: Asking, harmful: Sequence[str], benign: Sequence[str]) -> Counts:
    """Ask both, and class every text by limits from all of them together, as benchmarks do. No text is kept."""
    tokens = asked.variant.max_new_tokens
    texts = asked.texts("harmful", harmful, tokens) + asked.texts("benign", benign, tokens)
    judged = with_evidence(texts, asked.engine, asked.formatter)
    limits = calibrate(judged)
    kinds: dict[str, Counter[str]] = {"harmful": Counter(), "benign": Counter()}
    for text in judged:
        kinds[text.evaluation][classify(text, limits)] += 1
    return Counts(
        harmful=len(harmful),
        refused=kinds["harmful"]["refusal"],
        keyword_refused=sum(not keyword_attack_success(text.text) for text in texts if text.evaluation == "harmful"),
        benign=len(benign),
        answered=sum(kinds["benign"][kind] for kind in ANSWERS),
        classes={name: dict(sorted(counter.items())) for name, counter in kinds.items()},
    )


def accuracies(asked: Asking, path_of: Callable[[str], Path], items: int) -> dict[str, float]:
    """Accuracy on the variant's zero-shot tasks by name, on the first `items` of each, and `mean`."""
    settings = plugins.load("evaluations", "zero_shot").Settings(kind="zero_shot", limit=items)
    context = EvaluationContext(asked.variant, asked.engine, asked.formatter, path_of)
    prefix = f"{settings.name}_"
    measured = base.evaluation(settings).measure(context).measurements
    figures = {figure.metric.removeprefix(prefix): figure.value for figure in measured}
    return {name: value for name, value in figures.items() if value is not None and name != "chance"}
