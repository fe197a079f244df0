"""The last stage of a cell: the model is intact again, its texts are judged and figures made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.formulas.metrics import ANSWERS
from harness.receipts import likelihoods, text
from harness.receipts.subject import Observable, Subject
from harness.spec.measurement import Completion, Measurement
from harness.spec.receipt import StageReceipt
from harness.validity.classification import invalid_reason


@dataclass(frozen=True)
class Judged:
    """What was seen of the judgement: of likelihoods, of the scorers, and of answers to benign requests."""

    receipts: tuple[StageReceipt, ...]

    @classmethod
    def seen(
        cls,
        subject: Subject,
        completions: Sequence[Completion],
        measurements: Sequence[Measurement],
        intact_answers: Mapping[str, Sequence[bool]],
    ) -> Judged:
        """completions, measurements: all of the cell. intact_answers: by benign evaluation, of the first prompts."""
        return cls(
            (
                *((likelihoods.as_intact(subject, completions),) if completions else ()),
                *_figures(subject, completions, measurements),
                *_benign_answers(subject, completions, intact_answers),
            )
        )


def _figures(
    subject: Subject, completions: Sequence[Completion], measurements: Sequence[Measurement]
) -> Iterator[StageReceipt]:
    """The receipts of each kind of evaluation with texts, once for all that are of it."""
    with_texts = {completion.evaluation for completion in completions}
    of_kind: dict[type, list[Observable]] = {}
    for entry in subject.evaluations:
        if entry.settings.name in with_texts:
            of_kind.setdefault(type(entry), []).append(entry)
    for entries in of_kind.values():
        yield from entries[0].figure_receipts(entries, completions, measurements)


def _benign_answers(
    subject: Subject, completions: Sequence[Completion], intact_answers: Mapping[str, Sequence[bool]]
) -> Iterator[StageReceipt]:
    """A cell's answers to benign requests beside the intact model's to the same."""
    benign = [entry.settings.name for entry in subject.evaluations if entry.settings.asks_benign]
    attacks = [completion for completion in completions if completion.evaluation not in benign]
    least = subject.reference.spec.validity.minimum_fit_share
    broken = attacks and invalid_reason(attacks, least) is not None
    excused = subject.cell.invalid_is_expected is not None or bool(broken)
    for name in benign:
        own = [completion for completion in completions if completion.evaluation == name]
        intact = intact_answers[name]
        yield text.benign_answers(answered(own, len(intact)), intact, excused)


def answered(completions: Sequence[Completion], prompts: int) -> list[bool]:
    """Of the first prompts, in their order, whether each is answered. completions: judged, of one evaluation."""
    first = [completion for completion in completions if completion.prompt_index < prompts]
    return [completion.completion_class in ANSWERS for completion in sorted(first, key=lambda c: c.prompt_index)]
