"""Two records of one benchmark, say of two engines, token by token, from what lies beside them; no model is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from harness.errors import UserError
from harness.explanation.recorded import RecordedRun
from harness.formulas.comparison import NEAR_TIE_NATS
from harness.spec.measurement import Choice, Completion
from harness.spec.result import CellResult

#: Relative difference up to which a figure counts as equal: perplexities are made of rounded likelihoods.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Side:
    """What one engine chose where two texts part, its log-probability, and what it gave the other's choice (nats).

    None where it is not known: the other's choice was not its runner-up, a record has no choices, or it is no number.
    """

    token: int | None
    log_probability: float | None
    of_other: float | None

    @property
    def gap(self) -> float | None:
        """By how much it preferred its own choice."""
        if self.log_probability is None or self.of_other is None:
            return None
        return self.log_probability - self.of_other


@dataclass(frozen=True)
class Divergence:
    """The first token at which a greedy text differs, counted from 0; the stop token is one."""

    evaluation: str
    prompt_index: int
    suffix_index: int | None
    sample_index: int
    position: int
    first: Side
    second: Side
    near_tie: bool


@dataclass(frozen=True)
class CellComparison:
    """One cell of two records. greedy, sampled: texts, and how many of them have the same tokens.

    other_classes: texts with another class. figures: metric, and its value in each record, where they are not equal.
    not_compared: why nothing was; None if it was.
    """

    cell: str
    greedy: tuple[int, int] = (0, 0)
    sampled: tuple[int, int] = (0, 0)
    other_classes: int = 0
    divergences: tuple[Divergence, ...] = ()
    figures: tuple[tuple[str, float | None, float | None], ...] = ()
    not_compared: str | None = None

    @property
    def explained(self) -> bool:
        """Whether rounding explains every greedy text that differs."""
        return self.not_compared is None and all(each.near_tie for each in self.divergences)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "explained": self.explained}


def compare(first: RecordedRun, second: RecordedRun) -> list[CellComparison]:
    """Every cell of either record; one that only one of them has is not compared.

    Raises UserError where the records are not of one spec on one variant, but for the engine, or share no cell.
    """
    _refuse_unlike(first, second)
    ours, theirs = ({cell.id: cell for cell in run.record.cells} for run in (first, second))
    if not ours.keys() & theirs.keys():
        raise UserError(f"{first.path} and {second.path} have no cell in common; expected two records of one benchmark")
    return [
        _compare_cell(first, second, ours[cell], theirs[cell])
        if cell in ours and cell in theirs
        else CellComparison(cell, not_compared=f"only the {'first' if cell in ours else 'second'} record has it")
        for cell in dict.fromkeys([*ours, *theirs])
    ]


def _refuse_unlike(first: RecordedRun, second: RecordedRun) -> None:
    if first.record.spec != second.record.spec:
        names = [run.record.spec.get("id") for run in (second, first)]
        raise UserError(
            f"{second.path}: its spec ({names[0]!r}) is not that of {first.path} ({names[1]!r}); run one "
            "of them again with `harness run RECORD`"
        )
    variants = [
        {name: value for name, value in run.record.variant.items() if name not in ("engine", "tensor_parallel_size")}
        for run in (first, second)
    ]
    if variants[0] != variants[1]:
        raise UserError(
            f"{second.path}: its variant is not that of {first.path}; expected one model with two engines, "
            "not two models"
        )


def _compare_cell(first: RecordedRun, second: RecordedRun, cell: CellResult, other: CellResult) -> CellComparison:
    if _weights(cell) != _weights(other):
        return CellComparison(
            cell.id,
            not_compared="its weights are not the same in both records: scores, masks or "
            "training differ, which says nothing about the engine",
        )
    texts = first.texts(cell), second.texts(other)
    if missing := next((each.missing for each in texts if each.missing), None):
        return CellComparison(cell.id, not_compared=missing)
    pairs = _paired(*(each.completions for each in texts))
    if pairs is None:
        return CellComparison(cell.id, not_compared="the records hold texts to other prompts")
    greedy_names = {each["name"] for each in first.record.spec.get("evaluations", []) if not each.get("temperature")}
    limit = NEAR_TIE_NATS[first.record.variant["dtype"]]
    greedy = [pair for pair in pairs if pair[0].evaluation in greedy_names]
    sampled = [pair for pair in pairs if pair[0].evaluation not in greedy_names]
    found = (_divergence(a, b, limit) for a, b in greedy)
    return CellComparison(
        cell.id,
        _counted(greedy),
        _counted(sampled),
        sum(a.completion_class != b.completion_class for a, b in pairs),
        tuple(each for each in found if each is not None),
        tuple(_figures(cell, other)),
    )


def _weights(cell: CellResult) -> tuple[str | None, str | None]:
    return (
        cell.receipt.fingerprint_edited if cell.receipt else None,
        cell.fine_tuning.fingerprint_after if cell.fine_tuning else None,
    )


def _paired(first: Sequence[Completion], second: Sequence[Completion]) -> list[tuple[Completion, Completion]] | None:
    """Completions to the same prompt, or None where one has no other."""

    def key(text: Completion) -> tuple[Any, ...]:
        return text.evaluation, text.prompt_index, text.suffix_index, text.sample_index, text.prompt

    others = {key(text): text for text in second}
    if {key(text) for text in first} != others.keys() or len(first) != len(second):
        return None
    return [(text, others[key(text)]) for text in first]


def _counted(pairs: Sequence[tuple[Completion, Completion]]) -> tuple[int, int]:
    return len(pairs), sum(_same(a, b) for a, b in pairs)


def _same(a: Completion, b: Completion) -> bool:
    return a.token_ids == b.token_ids and a.finish_reason == b.finish_reason


def _divergence(a: Completion, b: Completion, limit: float) -> Divergence | None:
    tokens = [_tokens(text) for text in (a, b)]
    position = next((place for place, (x, y) in enumerate(zip_longest(*tokens)) if x != y), None)
    if position is None:
        return None
    first, second = (_side(text, position, other) for text, other in ((a, b), (b, a)))
    gaps = first.gap, second.gap
    near = all(gap is not None and gap <= limit for gap in gaps)
    return Divergence(a.evaluation, a.prompt_index, a.suffix_index, a.sample_index, position, first, second, near)


def _tokens(text: Completion) -> tuple[int, ...]:
    """The tokens that were chosen: with the stop token where the record tells which one it was."""
    return tuple(choice[0] for choice in text.choices) or text.token_ids


def _side(text: Completion, position: int, other: Completion) -> Side:
    tokens, others = _tokens(text), _tokens(other)
    token, wanted = (each[position] if position < len(each) else None for each in (tokens, others))
    choice: Choice | None = text.choices[position] if position < len(text.choices) else None
    if choice is None:
        return Side(token, None, None)
    return Side(token, choice[1], choice[3] if choice[2] == wanted else None)


def _figures(cell: CellResult, other: CellResult) -> Iterator[tuple[str, float | None, float | None]]:
    own, others = ({each.metric: each.value for each in of.measurements} for of in (cell, other))
    for metric in dict.fromkeys([*own, *others]):
        if not _alike(own.get(metric), others.get(metric)):
            yield metric, own.get(metric), others.get(metric)


def _alike(value: float | None, other: float | None) -> bool:
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=ROUNDING)
