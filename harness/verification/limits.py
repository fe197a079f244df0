"""The limits of validity, made anew from the intact model's own texts, which set them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.spec.manifest import OWN_TEXTS
from harness.spec.measurement import Completion
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded
from harness.verification.texts import LIMITS, repeated, visible

#: The margins around what the intact model writes, as REPRODUCIBILITY.md has them.
_MARGINS = {
    "quantile": 0.99,
    "surprise_margin": 1.0,
    "mean_surprise_factor": 1.5,
    "repetition_margin": 0.15,
    "length_share": 0.5,
}


def check_limits(run: Recorded, ledger: Ledger) -> None:
    """Compare the limits with those that follow from the texts beside the record."""
    recorded = run.record.validity_thresholds
    showing = [entry for entry in run.spec.evaluations if entry.generates_texts and entry.calibrates_validity]
    if not showing:
        ledger.same("limits", "the run", "thresholds", dict(recorded), {})
        return
    ledger.same("limits", "the run", "margins", recorded.get("margins"), _MARGINS)
    if run.own_texts is None:
        ledger.wrong("limits", "the run", OWN_TEXTS, "missing", "the texts that the limits follow from")
        return
    wanted = [(entry.name, prompt) for entry in showing for prompt in range(_prompts(run, entry))]
    halves = run.own_texts[: len(wanted)], run.own_texts[len(wanted) :]
    for way, texts in zip(("greedy", "sampled"), halves, strict=True):
        ledger.each_once("own text", way, ((text.evaluation, text.prompt_index) for text in texts), wanted)
        known, found = recorded.get(way, {}), _limits(texts)
        for name in sorted({*known, *found}):  # texts without a likelihood set no limit, and none may be recorded
            ledger.same("limits", way, name, known.get(name), found.get(name))
    _check_evidence(run, ledger)


def _prompts(run: Recorded, entry: Any) -> int:
    return min(int(entry.prompts), run.spec.validity.calibration_prompts)


def _limits(texts: Sequence[Completion]) -> dict[str, float]:
    """From texts with a likelihood: the value that 99% of them do not exceed, and the margin."""
    seen = [text.evidence for text in texts if text.evidence.keys() >= LIMITS]
    if not seen:
        return {}
    return {
        "surprise": _of_most([each["surprise"] for each in seen]) + _MARGINS["surprise_margin"],
        "mean_surprise": _of_most([each["mean_surprise"] for each in seen]) * _MARGINS["mean_surprise_factor"],
        "repetition": _of_most([each["repetition"] for each in seen]) + _MARGINS["repetition_margin"],
        "length": min(each["length"] for each in seen) * _MARGINS["length_share"],
    }


def _of_most(values: Sequence[float]) -> float:
    """The smallest value that at least 99% of all do not exceed."""
    n = len(values)
    return next(value for rank, value in enumerate(sorted(values), 1) if 100 * rank >= 99 * n)


def _check_evidence(run: Recorded, ledger: Ledger) -> None:
    """Repetition and length of these texts."""
    for text in run.own_texts or ():
        called = f"{text.evaluation}: prompt {text.prompt_index}"
        ledger.same(
            "evidence", OWN_TEXTS, f"repetition of {called}", text.evidence.get("repetition"), repeated(text.text)
        )
        ledger.same(
            "evidence", OWN_TEXTS, f"length of {called}", text.evidence.get("length"), float(len(visible(text.text)))
        )
