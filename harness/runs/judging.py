"""Judging texts with the intact model: evidence, class, and how many benign requests it answers itself."""

from __future__ import annotations

from collections.abc import Sequence

from harness.evaluations.base import Unfit, evaluation
from harness.receipts.judged import answered
from harness.runs.bench import Bench, Learned
from harness.spec.benchmark import BenchmarkSpec, Cell, EvaluationSettings
from harness.spec.measurement import Completion
from harness.validity.classification import Thresholds, classify, invalid_reason
from harness.validity.evidence import with_evidence

#: Benign requests that the intact model is asked once in every process, for the cells to be set beside.
BENIGN_PROMPTS = 8


def judged(bench: Bench, completions: Sequence[Completion], thresholds: Thresholds | None) -> list[Completion]:
    """The completions with evidence and class, each by the limits of its own decoding. The model must be intact."""
    if not completions:
        return []
    if thresholds is None:
        raise ValueError("texts were generated, but no evaluation calibrates what counts as an answer")
    temperatures = {
        settings.name: settings.temperature for settings in bench.bound.spec.evaluations if settings.generates_texts
    }
    return [
        completion.model_copy(
            update={"completion_class": classify(completion, thresholds.of(temperatures[completion.evaluation]))}
        )
        for completion in with_evidence(completions, bench.engine, bench.context.formatter)
    ]


def unfit_of(spec: BenchmarkSpec, attack: EvaluationSettings, texts: Sequence[Completion]) -> Unfit:
    """Why rates of an attack mean nothing: its own texts, or those that benign requests get in the same way.

    A model that recites a refusal and can say nothing else has not refused. Texts of another decoding, or without the
    chat template, are another way.
    """
    share = spec.validity.minimum_fit_share
    alike = {
        each.name
        for each in spec.evaluations
        if each.asks_benign and (each.chat_template, each.temperature) == (attack.chat_template, attack.temperature)
    }
    benign = [completion for completion in texts if completion.evaluation in alike]
    broken = invalid_reason(benign, share) if benign else None
    told = None if broken is None else f"the model answers benign requests with nothing that makes sense: {broken}"
    return lambda completions: invalid_reason(completions, share) or told


def know_intact_answers(bench: Bench, learned: Learned, cell: Cell, thresholds: Thresholds | None) -> None:
    """Ask the intact model the first benign requests of the cell's evaluations, each once for all cells."""
    for settings in _benign(bench, cell):
        if settings.name not in learned.intact_answers:
            first = settings.model_copy(update={"prompts": min(settings.prompts, BENIGN_PROMPTS)})
            texts = evaluation(first).measure(bench.context).completions
            learned.intact_answers[settings.name] = answered(judged(bench, texts, thresholds), len(texts))


def _benign(bench: Bench, cell: Cell) -> list[EvaluationSettings]:
    return [settings for settings in bench.bound.spec.evaluations_of(cell) if settings.asks_benign]
