"""The result of a cell: its figures, what invalidates them, and what nobody checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.evaluations.base import evaluation, unchecked_figures
from harness.runs.bench import Bench
from harness.runs.changes import Change
from harness.runs.judges import JudgedTexts, figures_by_judge
from harness.runs.judges_compared import agreements, corrected
from harness.runs.judging import unfit_of
from harness.runs.keys import asked_digest
from harness.spec.cell import Cell
from harness.spec.measurement import Completion, Measurement
from harness.spec.receipt import EditReceipt, StageReceipt
from harness.spec.result import CellResult
from harness.validity.classification import class_counts, partings
from harness.verification.raw import partly_unread


@dataclass(frozen=True)
class Outcome:
    """What is known of a cell once its outputs have been judged.

    change: what was in force. judged: all texts with classes and labels. figures: in the order of the record.
    receipts: of all stages. unchecked_region: what nobody checks of the region that was removed, in words.
    """

    change: Change
    judged: JudgedTexts
    figures: Sequence[Measurement]
    receipts: Sequence[StageReceipt]
    unchecked_region: Sequence[str]
    task_hashes: Mapping[str, str]


def all_figures(
    bench: Bench, cell: Cell, measured: Sequence[Measurement], judged: JudgedTexts, edit: EditReceipt | None
) -> list[Measurement]:
    """The figures that evaluations measured, then those of texts, of judges, and of the region that was removed."""
    return [
        *measured,
        *_figures_of_texts(bench, judged.completions),
        *figures_by_judge(bench.bound.spec, cell, judged),
        *_figures_of_edit(edit),
    ]


def result_of(bench: Bench, cell: Cell, outcome: Outcome, seconds: float) -> CellResult:
    """What the record says of a cell, but for the hash of the file that holds its texts. seconds: it took."""
    entries = bench.bound.spec.evaluations_of(cell)
    texts = outcome.judged.completions
    figures = invalidated(outcome.figures, outcome.receipts)
    return CellResult(
        **_what_was_asked(bench, cell),
        receipt=outcome.change.edit_receipt,
        fine_tuning=outcome.change.tuning_receipt,
        measurements=figures,
        completion_classes=class_counts(texts),
        partings=partings(texts, {entry.name for entry in entries if entry.success_metric}),
        seconds=round(seconds, 3),
        asked_sha256=asked_digest(bench.bound.spec, cell),
        completions_sha256="",
        task_hashes=dict(outcome.task_hashes),
        receipts=tuple(outcome.receipts),
        unchecked=(
            *outcome.unchecked_region,
            *unchecked_figures(entries),
            *filter(None, map(partly_unread, entries)),
            *outcome.judged.unchecked,
        ),
        judges=outcome.judged.judges,
        agreement=agreements(entries, texts),
        corrected=corrected(entries, figures, outcome.judged.judges),
    )


def _what_was_asked(bench: Bench, cell: Cell) -> dict[str, Any]:
    group = next(group for group in bench.bound.spec.cells if group.id == cell.group)
    return {
        "id": cell.id,
        "group": cell.group,
        "title": group.title,
        "parameters": cell.parameters,
        "invalid_is_expected": cell.invalid_is_expected,
    }


def _figures_of_texts(bench: Bench, texts: Sequence[Completion]) -> list[Measurement]:
    found: list[Measurement] = []
    for settings in bench.bound.spec.evaluations:
        own = [completion for completion in texts if completion.evaluation == settings.name]
        if own:
            unfit = unfit_of(bench.bound.spec, settings, texts)
            found += evaluation(settings).figures(own, unfit)
    return found


def _figures_of_edit(receipt: EditReceipt | None) -> list[Measurement]:
    """Precision and recall of the region against the planted one, where a variant has one."""
    if receipt is None or receipt.truth is None:
        return []
    truth = receipt.truth
    return [
        Measurement(metric=metric, value=value, n=n, resolution=1 / n if n else None)
        for metric, value, n in (
            ("planted_precision", truth.precision, truth.selected),
            ("planted_recall", truth.recall, truth.planted),
        )
        if value is not None
    ]


def invalidated(measurements: Sequence[Measurement], receipts: Sequence[StageReceipt]) -> tuple[Measurement, ...]:
    """The measurements; where a receipt does not hold, none of them counts, for its reason."""
    broken = next((receipt for receipt in receipts if not receipt.holds), None)
    if broken is None:
        return tuple(measurements)
    return tuple(measured.model_copy(update={"valid": False, "reason": broken.words}) for measured in measurements)
