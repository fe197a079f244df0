"""Where a cell departs from the same cell of another record, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.explanation.question import asked_for
from harness.explanation.recorded import RecordedRun
from harness.explanation.steps import Observation, compared_prompts, prompt_key, step_of
from harness.spec.measurement import Completion
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult

THERE = "the reference record"


def compared_steps(run: RecordedRun, cell: CellResult, reference: RecordedRun) -> dict[str, list[Observation]]:
    """The steps at which the cell is not what it is in the reference. Raises UserError if it is not there."""
    other = reference.cell(cell.id)
    ours, theirs = run.record, reference.record
    mine, its = run.texts(cell).completions, reference.texts(other).completions
    found = {
        "question": _question(run, reference, cell.id),
        "tokenizer": _differs(
            "the tokenizer",
            ours.provenance.tokenizer_sha256,
            theirs.provenance.tokenizer_sha256,
            "two revisions of a tokenizer: `harness prompts` shows the token ids of each",
        ),
        "data": _data(run, cell, reference, other),
        "prompts": [
            *_differs("the chat template", ours.variant.get("chat_template"), theirs.variant.get("chat_template")),
            *_differs("the system prompt", ours.variant.get("system_prompt"), theirs.variant.get("system_prompt")),
            *[note for note in compared_prompts(mine, its, f"those of {THERE}") if note.departs],
        ],
        "model": [
            *_differs(
                "the model before any edit",
                ours.provenance.model_sha256,
                theirs.provenance.model_sha256,
                "the two begin with different weights: compare the variants' revisions",
            ),
            *_differs("the number format", ours.variant.get("dtype"), theirs.variant.get("dtype")),
        ],
        "mask": _mask(cell, other),
        "weights": _weights(cell, other),
        "text": _texts(mine, its, cell, other),
        "scorer": _figures(cell, other),
    }
    for receipt in cell.receipts:
        found.setdefault(step_of(receipt), []).extend(_receipts(receipt, other.receipts))
    return found


def other_machine(run: RecordedRun, reference: RecordedRun) -> str | None:
    """What else differs between the two runs, which may turn last digits and with them near ties."""
    ours, theirs = run.record.provenance, reference.record.provenance
    parts = [
        name
        for name, same in (
            ("processor", ours.processor == theirs.processor),
            ("instructions and libraries of arithmetic", ours.arithmetic == theirs.arithmetic),
            ("number of threads", ours.threads == theirs.threads),
            ("library versions", ours.packages == theirs.packages),
            ("version of the harness", ours.source_sha256 == theirs.source_sha256),
        )
        if not same
    ]
    return (
        (f"the two runs also differ in {', '.join(parts)}: a difference in masks and weights may be one of last digits")
        if parts
        else None
    )


def _differs(what: str, ours: object, theirs: object, advice: str | None = None) -> list[Observation]:
    """Nothing where both are the same."""
    if ours == theirs:
        return []
    return [
        Observation(
            f"{what} is {_short(ours)}, and {_short(theirs)} in {THERE}",
            True,
            advice or f"find out which of the two {what.removeprefix('the ')}s is meant",
        )
    ]


def _short(value: object) -> str:
    """A hash or a long text by its beginning."""
    text = "not there" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "…"


def _question(run: RecordedRun, reference: RecordedRun, cell_id: str) -> list[Observation]:
    """What was asked for: the cell, and how its outputs are evaluated."""
    ours, theirs = run.record.spec, reference.record.spec
    here, there = asked_for(run.declared[cell_id], ours), asked_for(reference.declared[cell_id], theirs)
    advice = "the specs differ, so that different figures are no fault"
    found = [Observation(f"asked for here: {here}; in {THERE}: {there}", True, advice)] if here != there else []
    theirs_by_name = {_name(settings): settings for settings in theirs.get("evaluations", ())}
    for settings in ours.get("evaluations", ()):
        known = theirs_by_name.get(_name(settings))
        if known is not None and (keys := _differing(settings, known)):
            shown = ", ".join(f"{key} {settings.get(key)} (there {known.get(key)})" for key in keys)
            found.append(Observation(f"the evaluation {_name(settings)} has {shown}", True, advice))
    return found


def _name(settings: Mapping[str, Any]) -> str:
    return str(settings.get("name", settings["kind"]))


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ; one that an older version did not know counts only where it says something."""
    return [
        key
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key) and (first.get(key) or second.get(key))
    ]


def _data(run: RecordedRun, cell: CellResult, reference: RecordedRun, other: CellResult) -> list[Observation]:
    """The files, the draws from them, and the versions of the tasks."""
    ours, theirs = run.record, reference.record
    files = [
        name
        for name in _differing(ours.provenance.data_sha256, theirs.provenance.data_sha256)
        if name in ours.provenance.data_sha256 and name in theirs.provenance.data_sha256
    ]
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    found = (
        [
            Observation(
                f"of the data files, {', '.join(files[:3])}{more} are not those of {THERE}",
                True,
                f"compare the two files behind {files[0]!r}",
            )
        ]
        if files
        else []
    )
    mine, its = ours.spec.get("calibration", {}), theirs.spec.get("calibration", {})
    drawn = [name for name in _differing(mine, its) if name in mine and name in its]
    found += [
        Observation(
            f"the calibration set {name!r} is {mine[name]}, and {its[name]} in {THERE}",
            True,
            "draw it with the same number and seed",
        )
        for name in drawn
    ]
    tasks = [
        task
        for task in _differing(cell.task_hashes, other.task_hashes)
        if task in cell.task_hashes and task in other.task_hashes
    ]
    return found + [Observation(f"the task {task!r} is of another version than in {THERE}", True) for task in tasks]


def _mask(cell: CellResult, other: CellResult) -> list[Observation]:
    ours, theirs = cell.receipt, other.receipt
    if ours is None or theirs is None or ours.mask_sha256 == theirs.mask_sha256:
        return []
    sizes = {receipt.weights_selected for receipt in (ours, theirs)}
    count = (
        "as many weights, but others" if len(sizes) == 1 else f"{ours.sparsity:.2%} and {theirs.sparsity:.2%} of them"
    )
    return [
        Observation(
            f"other weights were selected than in {THERE} ({count})",
            True,
            "scores and data are the same as far as the records tell, so look at how the mask is made from "
            "the scores: the rows or matrices in which weights compete, and the layer it is applied to",
        )
    ]


def _weights(cell: CellResult, other: CellResult) -> list[Observation]:
    if cell.fine_tuning and other.fine_tuning:
        return _differs("the fine-tuned model", cell.fine_tuning.fingerprint_after, other.fine_tuning.fingerprint_after)
    if cell.receipt and other.receipt:
        return _differs(
            "the edited model",
            cell.receipt.fingerprint_edited,
            other.receipt.fingerprint_edited,
            "the same weights were to be removed, and the models differ: look at how they are set to 0",
        )
    return []


def _texts(
    ours: Sequence[Completion], theirs: Sequence[Completion], cell: CellResult, other: CellResult
) -> list[Observation]:
    """Texts one by one; their classes where they are not at hand."""
    known = {prompt_key(completion): completion.text for completion in theirs}
    pairs = [(completion.text, known[prompt_key(completion)]) for completion in ours if prompt_key(completion) in known]
    advice = "what comes before the text is the same as far as the records tell: look at the engine and the stop tokens"
    if pairs:
        differing = sum(mine != other_text for mine, other_text in pairs)
        words = f"{differing} of {len(pairs)} outputs are other texts than in {THERE}"
        return [Observation(words, True, advice)] if differing else []
    shared = cell.completion_classes.keys() & other.completion_classes.keys()
    return [
        Observation(
            f"{name}: {cell.completion_classes[name]}, in {THERE} {other.completion_classes[name]}", True, advice
        )
        for name in sorted(shared)
        if cell.completion_classes[name] != other.completion_classes[name]
    ]


def _figures(cell: CellResult, other: CellResult) -> list[Observation]:
    """Figures that differ, or count in one record and not in the other."""
    found = []
    for measured in cell.measurements:
        known = other.measurement(measured.metric)
        if known is not None and (measured.value, measured.valid) != (known.value, known.valid):
            found.append(
                f"{measured.metric} {_figure(measured.value, measured.valid)} (there "
                f"{_figure(known.value, known.valid)})"
            )
    more = f" and {len(found) - 4} more figures" if len(found) > 4 else ""
    return [Observation(", ".join(found[:4]) + more, True)] if found else []


def _figure(value: float | None, valid: bool) -> str:
    return ("no number" if value is None else f"{value:.3g}") + ("" if valid else " INVALID")


def _receipts(receipt: StageReceipt, others: Sequence[StageReceipt]) -> list[Observation]:
    """Hashes and counts of a receipt's evidence. Other numbers carry rounding, and are judged by the receipt itself."""
    known = next((other for other in others if (other.stage, other.name) == (receipt.stage, receipt.name)), None)
    if known is None:
        return []
    keys = [
        key
        for key in receipt.evidence.keys() & known.evidence.keys()
        if receipt.evidence[key] != known.evidence[key] and not isinstance(receipt.evidence[key], float)
    ]
    return [
        note
        for key in sorted(keys)
        for note in _differs(
            f"{key.replace('_', ' ')} ({receipt.name.replace('_', ' ')})",
            receipt.evidence[key],
            known.evidence[key],
            "compare what the two runs did at this step",
        )
    ]
