"""Every figure of every cell, made anew from texts and receipts, and whether it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.spec.measurement import Completion, Measurement
from harness.spec.receipt import TruthComparison
from harness.spec.result import CellResult
from harness.verification.agreements import check_agreements
from harness.verification.attacks import attack_figures, doubt_of
from harness.verification.findings import Ledger
from harness.verification.judges import check_judges, check_labels, figures_by_judge
from harness.verification.judges import is_read as reads_judge
from harness.verification.rates import Figure
from harness.verification.raw import is_read, partly_unread, raw_figures, unread_parts
from harness.verification.recorded import Recorded
from harness.verification.verdicts import sentence

#: Kinds of evaluations whose figures are made of texts here.
_OF_TEXTS = {"attack": attack_figures}


def check_figures(run: Recorded, texts: dict[str, list[Completion]], ledger: Ledger) -> None:
    """Compare the figures of texts and edits with what follows from the files; and of all, whether they count.

    texts: by cell, each with its class as it should be.
    """
    check_judges(run.record.cells, texts, ledger)
    for cell in run.record.cells:
        broken = next((sentence(receipt) for receipt in cell.receipts if not receipt.holds), None)
        figures = [*_figures(run, cell, texts[cell.id]), *raw_figures(run, cell, run.entries_of(cell), ledger)]
        wanted = {figure.metric: figure for figure in figures}
        for measured in cell.measurements:
            figure = wanted.get(measured.metric)
            if figure is not None:
                _compare(cell.id, measured, figure, broken, ledger)
            elif not nobody_makes(run.spec.evaluations, measured.metric):
                ledger.wrong("figure", cell.id, measured.metric, measured.value, "nothing that it follows from")
            elif broken is not None:
                ledger.same("validity", cell.id, measured.metric, (measured.valid, measured.reason), (False, broken))
        _check_edit(cell, ledger)
        for words in filter(None, map(partly_unread, run.entries_of(cell))):
            ledger.each_once("unchecked", cell.id, [each for each in cell.unchecked if each == words], [words])
        check_labels(cell, run.spec.evaluations, texts[cell.id], ledger)
        check_agreements(cell, run.entries_of(cell), texts[cell.id], ledger)


def unread(run: Recorded) -> list[str]:
    """What nobody makes a second time from what is on disk, in words."""
    figures = [
        f"the figures of the evaluation {entry.name} ({entry.kind})"
        for entry in run.spec.evaluations
        if entry.kind not in _OF_TEXTS and not is_read(entry.kind)
    ]
    figures += [words for entry in run.spec.evaluations if (words := partly_unread(entry)) is not None]
    if run.record.texts_taken_out_of is not None:
        figures.append(
            "what the texts say, which were taken out of this copy: refusals, repetition, the scorer's rules"
        )
    judges = [(judge.judge, entry.name) for entry in run.spec.evaluations for judge in entry.judged_by]
    figures += [f"what the judge {name} says of known texts" for name in dict.fromkeys(name for name, _ in judges)]
    return figures + [f"what the judge {name} says of {entry}" for name, entry in judges if not reads_judge(name)]


def nobody_makes(entries: Sequence[Any], metric: str) -> bool:
    """Whether a metric is one that nobody makes a second time."""
    for entry in entries:
        if entry.kind not in _OF_TEXTS and not is_read(entry.kind):
            if metric in entry.metrics or metric.startswith(tuple(entry.metric_prefixes)):
                return True
        elif metric.startswith(f"{entry.name}_") and any(f"/{part}/" in metric for part in unread_parts(entry)):
            return True
    return False


def _figures(run: Recorded, cell: CellResult, texts: Sequence[Completion]) -> list[Figure]:
    found: list[Figure] = []
    share = run.spec.validity.minimum_fit_share
    for entry in run.spec.evaluations:
        make = _OF_TEXTS.get(entry.kind)
        own = [text for text in texts if text.evaluation == entry.name]
        if make is not None and own:
            doubt = doubt_of(entry, run.spec.evaluations, texts, share)
            found += [*make(entry, own, doubt), *figures_by_judge(entry, own, doubt, cell.judges, share)]
    if cell.receipt is not None and cell.receipt.truth is not None:
        found += _of_truth(cell.receipt.truth)
    return found


def _of_truth(truth: TruthComparison) -> list[Figure]:
    """Precision and recall of a region against the planted one."""
    parts = (("planted_precision", truth.selected), ("planted_recall", truth.planted))
    return [Figure(name, truth.both / n, n, resolution=1 / n) for name, n in parts if n]


def _compare(cell: str, measured: Measurement, figure: Figure, broken: str | None, ledger: Ledger) -> None:
    """All that a record says of one figure. broken: what a receipt of the cell says that does not hold."""
    why = broken if broken is not None else figure.why
    for field, recorded, wanted in (
        ("value", measured.value, figure.value),
        ("n", measured.n, figure.n),
        ("standard error", measured.standard_error, figure.error),
        ("interval", measured.interval, figure.interval),
        ("resolution", measured.resolution, figure.resolution),
        ("neighbours", measured.neighbours, None),
        ("valid", measured.valid, why is None),
        ("reason", measured.reason, why),
    ):
        name = measured.metric if field == "value" else f"{field} of {measured.metric}"
        ledger.same("figure" if field == "value" else field, cell, name, recorded, wanted)


def _check_edit(cell: CellResult, ledger: Ledger) -> None:
    """What a receipt of an edit says of itself: shares of counts, and weights that are put back."""
    edit = cell.receipt
    if edit is None:
        return
    ledger.same("edit", cell.id, "weights put back", edit.fingerprint_restored, edit.fingerprint_before)
    if edit.weights_selected is not None:
        ledger.same("edit", cell.id, "sparsity", edit.sparsity, edit.weights_selected / edit.weights_total)
    for name, truth in (("all layers", edit.truth), *edit.truth_by_layer.items()):
        if truth is not None:
            ledger.same("edit", cell.id, f"precision in {name}", truth.precision, _share(truth.both, truth.selected))
            ledger.same("edit", cell.id, f"recall in {name}", truth.recall, _share(truth.both, truth.planted))
    if edit.truth is not None and edit.truth_by_layer:
        for count in ("selected", "planted", "both"):
            total = sum(getattr(truth, count) for truth in edit.truth_by_layer.values())
            ledger.same("edit", cell.id, f"{count} over layers", getattr(edit.truth, count), total)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
